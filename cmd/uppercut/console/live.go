package console

import (
	"context"
	"time"
)

func (c *Console) currentStatus(ctx context.Context) (Status, error) {
	s, err := c.appliance.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	h := c.currentHealth()
	s.Ready, s.Checks = h.Ready, h.Checks
	s.Rules = orEmpty(s.Rules)
	return s, nil
}

func (c *Console) currentHealth() Health {
	h := Health{Ready: true, Checks: []Check{}}
	for _, check := range c.ready.Checks() {
		found := Check{Name: check.Name, OK: check.Err == nil}
		if check.Err != nil {
			h.Ready, found.Problem = false, check.Err.Error()
		}
		h.Checks = append(h.Checks, found)
	}
	return h
}

// The sizes of a list of the most.
const (
	defaultTop = 10
	maxTop     = 1000
)

func (c *Console) topBy(ctx context.Context, by string, limit int) (Top, error) {
	if limit == 0 {
		limit = defaultTop
	}
	if limit < 1 || limit > maxTop {
		return Top{}, invalid("limit must be 1 to %d", maxTop)
	}
	t := Top{By: by}
	var err error
	switch by {
	case "", "source":
		t.By = "source"
		t.Items, err = c.appliance.TopSources(ctx, limit)
	case "reason":
		t.Items = c.history.top(rejectionsByReason, limit)
	case "host":
		t.Items = c.history.top(rejectionsByHost, limit)
	default:
		return Top{}, invalid("by: %q is not source, reason or host", by)
	}
	t.Items = orEmpty(t.Items)
	return t, err
}

// sampleInterval is how often the history looks at the counters.
const sampleInterval = 10 * time.Second

func (c *Console) keepHistory(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		if err := c.history.sample(time.Now(), c.gatherer); err != nil {
			c.logger.Warn("history has a gap", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
