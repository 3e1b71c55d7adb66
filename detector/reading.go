package detector

import "uppercut/detector/sendmail"

// Reading returns what session memory has counted: lines by kind, and what was
// given up because nothing proved an address.
func (d *Detector) Reading() sendmail.Stats { return d.memory.Stats() }

// Unknown returns up to 20 lines that look like sendmail's and were not
// understood, secrets masked, each of another shape, oldest first.
func (d *Detector) Unknown() []string { return d.memory.Unknown() }
