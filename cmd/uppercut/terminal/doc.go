// Package terminal prints what the commands answer: aligned columns with colours,
// JSON, and numbers and times in words. Whatever came from outside is made
// visible before it reaches a screen.
package terminal
