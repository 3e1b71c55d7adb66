// Package ansible holds the role that makes a mail host forward its log to
// uppercut, and the test that runs it for real.
package ansible
