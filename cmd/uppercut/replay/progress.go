package replay

import (
	"fmt"
	"io"
	"sync"
	"time"

	"uppercut/cmd/uppercut/terminal"
)

// progressInterval is how often the progress line changes.
const progressInterval = 200 * time.Millisecond

// showProgress keeps a line on w that says how far reading has come, if w is a
// terminal. The function that it returns removes the line.
func showProgress(w io.Writer, p *progress) (stop func()) {
	if !terminal.IsTerminal(w) {
		return func() {}
	}
	begin := time.Now()
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(w, "\r%s\x1b[K", p.describe(time.Since(begin)))
			case <-done:
				fmt.Fprint(w, "\r\x1b[K")
				return
			}
		}
	})
	return func() {
		close(done)
		wait.Wait()
	}
}

// describe says how far reading has come after a time of elapsed.
func (p *progress) describe(elapsed time.Duration) string {
	read, size := p.consumed(), p.size
	rate := float64(p.lines.Load()) / elapsed.Seconds()
	if size == 0 || read == 0 {
		return fmt.Sprintf("%s read, %s lines/s", bytesText(read), countText(rate))
	}
	share := min(float64(read)/float64(size), 1)
	left := time.Duration(float64(elapsed) * (1 - share) / share)
	return fmt.Sprintf("%3.0f %%  %s of %s, %s lines/s, %v left",
		share*100, bytesText(read), bytesText(size), countText(rate), left.Round(time.Second))
}

// bytesText is a size as people say it: 12.3 MB.
func bytesText(n int64) string {
	const unit = 1000
	size, i := float64(n), 0
	for ; size >= unit && i < 4; i++ {
		size /= unit
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %cB", size, " kMGT"[i])
}

// countText is a number as people say it: 1.23 million.
func countText(n float64) string {
	if n >= 1e6 {
		return fmt.Sprintf("%.2f million", n/1e6)
	}
	return terminal.Grouped(uint64(n))
}
