// Package fuzz holds run, which runs the fuzz targets of the module one after
// the other, and the test that it tells a finding from the end of its time.
package fuzz
