package detector

import "uppercut/detector/sendmail"

// Reading returns what session memory has counted: lines by kind, and what was
// given up because nothing proved an address.
func (d *Detector) Reading() sendmail.Stats { return d.memory.Stats() }
