// Package appliance is uppercut as it serves: it introduces the parts to each
// other and carries what crosses between them. Lines go from the receiver through
// the pipeline to the judge, verdicts from the judge to the enforcer, what happens
// to the outbox and to open pages.
//
// New binds every socket and starts nothing; Run blocks. The judge has one
// goroutine, of the pipeline, and whoever wants to know something of it asks
// there. Parts end one after the other, each when nothing can reach it any more:
// receiver, judge, scores, enforcer with kernel and ledger, events, page.
package appliance
