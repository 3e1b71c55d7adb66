// Package offence is what every reader of logs tells the detector: an Event says
// who did what, and when, in words that no mail program owns.
//
// It holds values only. Readers fill them, the detector judges them, and an Event
// whose Raw is masked may leave the process.
package offence
