package detector

import (
	"slices"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// A course rises with each offence, falls when one leaves the window or mail
// speaks for the source, and ends with the score of now.
func TestCourse(t *testing.T) {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{
			{Name: "short", Window: time.Minute, Score: 1000, Block: time.Minute},
			{Name: "long", Window: time.Hour, Score: 1000, Block: time.Hour}, // remembers longer
		}
	})
	b.offend(at(0), someone, offence.AccessReject)
	b.offend(at(50), someone, offence.OpenProxy)
	b.accept(at(70), someone, 1)
	b.offend(at(80), someone, offence.AccessReject)
	b.feed(event{at: at(90), addr: someone, Event: offence.Event{Kind: offence.Delivered}}) // to it

	story := b.d.Story(mustAddr(someone), at(100))
	if len(story.Courses) != 2 || story.Courses[0].Rule != "short" {
		t.Fatalf("%+v", story)
	}
	reject := weightOf(t, b, at(0))
	proxy := weightOf(t, b, at(50)) - reject
	now, _ := b.d.Source(mustAddr(someone), at(100))
	want := []ScorePoint{
		{at(41), reject},         // where the window that ends now begins
		{at(50), reject + proxy}, // the proxy
		{at(60), proxy},          // the first reject is a minute ago
		{at(80), weightOf(t, b, at(80))},
		{at(90), now.Rules[0].Score}, // mail to it
		{at(100), now.Rules[0].Score},
	}
	if got := story.Courses[0].Points; !slices.Equal(got, want) {
		t.Errorf("course\n%v, want\n%v", got, want)
	}
	if want[3].Score >= proxy+reject || want[3].Score <= proxy {
		t.Errorf("mail takes something off the second reject: %v of %v and %v", want[3].Score, proxy, reject)
	}
	if !story.LastMail.Equal(at(70)) {
		t.Errorf("last mail %v", story.LastMail)
	}
}

// weightOf is the score of someone at a time.
func weightOf(t *testing.T, b *bench, at time.Time) float64 {
	t.Helper()
	s, known := b.d.Source(mustAddr(someone), at)
	if !known {
		t.Fatalf("nothing is known of %s", someone)
	}
	return s.Rules[0].Score
}

// A course agrees with the score that the rule had at the time, at every second.
func TestCourseAgreesWithScores(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.Rules = []Rule{
			{Name: "short", Window: time.Minute, Score: 500, Block: time.Minute},
			{Name: "long", Window: 10 * time.Minute, Score: 500, Block: time.Hour},
		}
	})
	for i, second := range []int{0, 3, 3, 40, 59, 61, 90, 200, 201, 290} {
		b.offend(noon.Add(time.Duration(second)*time.Second), someone, []offence.Reason{offence.Pregreet, offence.AccessReject, offence.NullConnection}[i%3])
	}
	end := noon.Add(5 * time.Minute)
	courses := b.d.Story(mustAddr(someone), end).Courses
	if len(courses) != 2 {
		t.Fatalf("%d courses, want 2", len(courses))
	}
	for rule, c := range courses {
		if len(c.Points) < 4 {
			t.Errorf("rule %s: %d points", c.Rule, len(c.Points))
		}
		for i, p := range c.Points {
			until := end
			if i+1 < len(c.Points) {
				until = c.Points[i+1].Time.Add(-time.Second)
			}
			for at := p.Time; !at.After(until); at = at.Add(time.Second) {
				s, _ := b.d.Source(mustAddr(someone), at)
				if got := s.Rules[rule].Score; got != p.Score {
					t.Fatalf("rule %s at %v: the course says %v, the score is %v", c.Rule, at, p.Score, got)
				}
			}
		}
	}
}

// Of a source of which nothing is known there is no story, but for a pardon.
func TestStoryOfNobody(t *testing.T) {
	b := newBench(t, oneRule(time.Minute, time.Hour, 10))
	if s := b.d.Story(mustAddr(someone), noon); len(s.Courses) > 0 || !s.LastMail.IsZero() || !s.PardonedUntil.IsZero() {
		t.Errorf("%+v", s)
	}
	until := noon.Add(10 * time.Minute)
	b.d.Pardon(until, mustPrefix("198.51.100.0/24"))
	b.d.Pardon(noon.Add(time.Minute), mustPrefix(someone+"/32"))
	if s := b.d.Story(mustAddr(someone), noon); !s.PardonedUntil.Equal(until) {
		t.Errorf("pardoned until %v, want %v", s.PardonedUntil, until)
	}
	if s := b.d.Story(mustAddr(someone), until); !s.PardonedUntil.IsZero() {
		t.Errorf("a pardon that is over: %v", s.PardonedUntil)
	}
}
