package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/chromedp/chromedp"

	"uppercut/deploy/lab"
)

// The picture is as wide as a README shows it, and as high as the upper part of
// the page.
const (
	pictureWidth  = 1200
	pictureHeight = 900
)

// screenshot lets Debian's Chromium take a picture of the page of an uppercut
// that has just stood one round of attacks, for its operator to see.
func screenshot(ctx context.Context, l *lab.Lab, file string) error {
	if _, err := l.Attack(ctx, lab.Size{Guilty: 3, Petty: 1, Honest: 8}); err != nil {
		return err
	}
	page, err := l.Expose(lab.Page)
	if err != nil {
		return err
	}
	address, err := url.Parse(page)
	if err != nil {
		return err
	}
	address.RawQuery = "range=1h" // one round fills little of the usual six
	address.User = url.UserPassword("lab", "lab")
	picture, err := takePicture(ctx, address.String())
	if err != nil {
		return fmt.Errorf("take a picture of %s: %w", page, err)
	}
	return os.WriteFile(file, picture, 0o644) //nolint:gosec // for everybody to see
}

func takePicture(ctx context.Context, page string) ([]byte, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(pictureWidth, pictureHeight))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	defer stop()
	ctx, end := chromedp.NewContext(ctx)
	defer end()
	if err := chromedp.Do(ctx, chromedp.Navigate(page)); err != nil {
		return nil, err
	}
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}
