package appliance

import (
	"errors"
	"fmt"
	"time"

	"uppercut/metrics"
)

// health knows what must be right for the appliance to do its work.
func (a *Appliance) health() *metrics.Health {
	h := new(metrics.Health)
	a.registry.MustRegister(h)
	h.Add("judge", func() error {
		if !a.pipeline.alive(time.Now()) {
			return fmt.Errorf("the judge has been stuck for %s", pipelineStall)
		}
		return nil
	})
	h.Add("firewall", func() error {
		s := a.enforcer.Show()
		if s.Suspended && !s.Observe {
			until := ""
			if !s.PausedUntil.IsZero() {
				until = " until " + s.PausedUntil.Format(time.DateTime)
			}
			return fmt.Errorf("blocking is suspended by an operator since %s%s; uppercut resume ends it, uppercut audit --action flush shows who ordered it",
				s.Since.Format(time.DateTime), until)
		}
		if !s.Enforcing && !s.Observe {
			return errors.New("table, sets or rules are not in the kernel; uppercut firewall verify says more")
		}
		return nil
	})
	h.Add("enforcer", func() error {
		if age := a.enforcer.Heartbeats(time.Now()).Writer; age >= pipelineStall {
			return fmt.Errorf("the enforcer has been stuck for %s: nothing new is blocked", age.Round(time.Second))
		}
		return nil
	})
	h.Add("ledger", func() error {
		if age := a.enforcer.Heartbeats(time.Now()).Ledger; age >= pipelineStall {
			return fmt.Errorf("a write to the ledger has been running for %s: the disk does not respond", age.Round(time.Second))
		}
		if !a.enforcer.Show().Saving {
			return errors.New("blocks are enforced but not saved; the log says why")
		}
		return nil
	})
	h.Add("senders", a.checkSenders)
	return h
}
