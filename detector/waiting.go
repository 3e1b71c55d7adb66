package detector

import (
	"slices"
	"strings"
	"time"

	"uppercut/detector/sendmail"
)

// maxAwaited bounds the lines whose own event waits for the next line of their
// process. Session memory waits for no more.
const maxAwaited = 64

// await remembers a line that session memory makes wait, if it does, for Tick: no
// other line may come. Its strings are cloned.
func (d *Detector) await(l *Line) {
	if l.Number == 0 || d.memory.Waiting() != l.Number {
		return
	}
	if len(d.waiting) >= maxAwaited {
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
	kept := *l
	kept.Record = sendmail.Record{}
	for _, s := range [...]*string{&kept.Sender, &kept.Host, &kept.Tag, &kept.Wrapper} {
		*s = strings.Clone(*s)
	}
	d.waiting = append(d.waiting, kept)
}

// settle judges what has waited for long enough by the time of arrival now.
func (d *Detector) settle(now time.Time) {
	d.waiting = slices.DeleteFunc(d.waiting, func(l Line) bool {
		if now.Sub(l.Received) < sendmail.SettleAfter {
			return false
		}
		d.events = d.memory.Settle(l.Number, d.events[:0])
		for i := range d.events {
			d.event(&l, &d.events[i], d.hosts.of(&l), d.isRepeated(d.events[i].Line))
		}
		return true
	})
}
