package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// promises are the sentences of security.md that promise something, each by
// words that stand in it, and the tests that hold it. Whoever writes a sentence
// there writes the test first.
var promises = map[string]string{
	// A spammer
	"take their text for somebody else's address":  "TestInjections TestCutInjections TestTunedSessions TestCases TestHostileTextInTheLog TestFleet",
	"Continuations of split lines":                 "TestSplitLines TestTornSplitLines",
	"a catalogue of such tricks":                   "TestInjections TestParseWhatRealOnesLog TestFleet",
	"another site blocked by their own sessions":   "TestTunedSessions TestCutLines TestFleet",
	"manipulate your terminal":                     "TestVisible FuzzVisible TestJSONOnATerminalIsVisible",
	"protects relays that also send you good mail": "TestFavourWeighs TestOnlyPartnersAreExcused TestGuardIsAskedForEveryBlock",
	"one session never blocks a source":            "TestPartnerEdge TestManyMessages",
	"The number of sources is limited":             "TestEviction TestBoundedMemory TestSprayOfMillions",
	"New blocks are limited to 10,000 a minute":    "TestCeilingEdge TestHostPasses",
	"not a flood of blocks":                        "TestBreakerOpens TestBreakerEvidence TestBreakerSetsAside",
	"within 7 days does gain from an open breaker": "TestRefusesEverybody TestSpammersAreStillRefused",
	// Packets to the syslog port
	"Only listed senders are accepted":  "TestUnlistedSenders TestRefusedSenders",
	"over which the kernel routes back": "TestReversePath TestPathsWithoutAnswer",
	"rejects packets from the Internet": "TestReversePath",
	"The listeners are on loopback":     "TestDefaultListenersAreOnLoopback",
	"may crash the process":             "FuzzFrames FuzzRELP FuzzHeader FuzzParse TestHostileClients TestNoAttackDoesHarm",
	"are all limited":                   "TestLimitsNameWhatThereIs TestRELPUnreadAnswers TestBatchesAreBounded FuzzFrames",
	"runs floods of each kind":          "TestNoAttackDoesHarm TestMakeAttackIsDocumented",
	// A compromised mail host
	"get your exempt addresses blocked":           "TestExempt TestAddressesAndRoutes TestResolvers TestSSHPeers TestConnectedSenders TestGuardIsAskedForEveryBlock",
	"displace blocks that others reported":        "TestOneLiarEvictsNobodyElse TestSharesOfNetworks TestNoneWaitsForAllThatAnotherSays",
	"Blocks with a single witness are evicted":    "TestOneLiarEvictsNobodyElse TestFullSetKeepsTheGuilty",
	"report on another host's sessions":           "TestTwoHostsWithOneName TestWitness TestSendersAreCountedByCertificate",
	"hide that another host is silent":            "TestHostLabels TestFleetStatus",
	"more than half of the limit of blocks":       "TestCeilingHostShare",
	"it has another 10,000 a minute":              "TestHostPasses TestWaitingAttackerPasses TestEveryAlertIsExplainedAndTested",
	"count as more than one witness":              "TestCeilingShareOfManyNames TestSeveralNames",
	"shares and breakers go by the sender":        "TestSecondWitness TestCeilingShareOfManyNames TestBreakerOfManyNames",
	"take the places of other hosts":              "TestHostTableCannotBeFilled",
	"by refusing them all":                        "TestRefusesEverybody TestTakeBack TestBreakerLifts",
	"evidence show the sender of each line":       "TestSecondWitness TestHistoryKeepsEvidence",
	"requires a second witness":                   "TestSecondWitness",
	"together they are one witness":               "TestWitness TestAlone TestHostsBehindARelay",
	"an address that is not declared is one host": "TestWitness TestRelayDeclaredLater",
	// A stolen certificate
	"identified by its certificate":         "TestTLSSendersByName TestSendersAreCountedByCertificate TestWitness",
	"**can** send false lines as that host": "TestSecondWitness TestWithoutUsersThePageShowsCountsOnly TestSocket",
	"To revoke it":                          "TestRevokedAreRefused TestRightsEndNow TestReloadReadsFiles",
	"A new revocation list is read":         "TestRightsEndNow TestRevokedAreRefused",
	"that may no longer log are closed":     "TestRightsEndNow TestNoAttackDoesHarm",
	"of a user who was removed stops":       "TestFollowersAreCutOffWithTheirRight TestUsersGoneFromTheFileAreGoneAtOnce",
	"whose certificate has expired":         "TestRightsEndNow",
	// The page and the socket
	"a member can block, unblock and allow": "TestSocket TestOrdersOverTheSocket",
	"The page listens on loopback":          "TestDefaultListenersAreOnLoopback",
	"it shows counts only":                  "TestWithoutUsersThePageShowsCountsOnly TestReadersSeeAndDoNotAct TestEvidenceNeedsALineThatNobodyReads",
	"Host and Origin are checked":           "TestHostIsCheckedEverywhere TestStrangersAreRefused",
	"Wrong passwords are logged":            "TestWrongPasswordsAreToldCountedAndSlowed TestGuessingIsPaidFor",
	"The page has connections of its own":   "TestIdleConnectionsMakeRoom TestNoAttackDoesHarm",
	"Every action is in the audit log":      "TestAuditOverTheSocket TestByHand TestWhatHappensIsTold",
	// What is in the logs
	"are masked wherever they leave": "TestSecretsLeaveByNoWay TestMask TestEvidenceIsMasked FuzzMaskUnknown",
	"No metric's label ever holds":   "TestSecretsLeaveByNoWay",
	"follows no symbolic link in it": "TestADirectoryThatOthersMayWriteIsRefused TestLinksAreNotFollowed TestALinkIsNotFollowed TestHistoryFollowsNoLink",
	"up to three masked log lines":   "TestSecretsLeaveByNoWay TestDocumentNamesEveryField TestWhatHappensIsTold",
	"the requests are signed":        "TestSignature TestDocumentedVerification",
	"without log lines":              "TestSyslogOverDatagrams TestRealRsyslogd",
	"can cost events, never a block": "TestWebhookHangsAndRecovers TestAnswersOfTheWebhook TestWhatIsLostIsCounted",
	// Damage
	"has a checksum":                           "TestABitThatHasFlippedIsNoticed TestRecordsThatGoAndComeBackAreNoticed TestAnEmptyFileIsDamage TestDamagedAnywhere",
	"nothing is saved until the ledger":        "TestLostLedger TestLedgerTrouble TestEveryAlertIsExplainedAndTested",
	"accepts only what `ledger export` writes": "TestExportAndImport TestImportOfWhatIsNoExport",
	"Damaged scores are kept":                  "TestScoresThatCannotBeRead",
	"that hangs does not delay a block":        "TestALogThatNobodyReadsHoldsUpNobody TestPublishNeverWaits TestWebhookHangsAndRecovers TestADiskThatDoesNotAnswerHoldsUpNoBlock",
	"`make attack` also plays these":           "TestNoAttackDoesHarm",
	// If uppercut dies
	"Blocks stay in the kernel and expire there": "TestBlocksOutliveUs TestKillAtAnyInstant",
	"the firewall never becomes more closed":     "TestBlocksOutliveUs TestKillAtAnyInstant",
	"It opens all at once only if":               "TestFlushStopped TestInstallUpgradeRemovePurge TestLostLedger",
}

// noPromises are the other sentences: what an attacker can do, facts that are
// not ours, advice.
var noPromises = []string{
	"uppercut runs on a firewall", "This page says", "They control much of the log", "TCP to a mail server cannot be spoofed",
	"a shared address blocked that they send from", "forged mail through a legitimate relay", "stay below the thresholds",
	"**Can** use many addresses", "**Can** try to open", "UDP does not authenticate", "The countermeasures",
	"They do not protect against hosts", "If you do not trust it", "without TLS can be read", "A flood does cause delays",
	"accuse any address that is not exempt, and so get it blocked", "It can also send nothing", "listed without addresses and presents no certificate",
	"Use a separate authority", "The **server's** key", "Recipients, senders, client addresses", "Never raise sendmail's LogLevel",
	"Syslog is sent unencrypted", "See [SECURITY.md]",
}

// TestEverySecurityPromiseHasATest: each sentence of the page promises nothing,
// or names tests that exist.
func TestEverySecurityPromiseHasATest(t *testing.T) {
	tests := testNames(t)
	text := strings.Join(sentences(page(t, "security.md")), "\n")
	for words, names := range promises {
		if !strings.Contains(text, words) {
			t.Errorf("no sentence says %q", words)
		}
		for name := range strings.FieldsSeq(names) {
			if !tests[name] {
				t.Errorf("%q: no test is called %s", words, name)
			}
		}
	}
	for sentence := range strings.SplitSeq(text, "\n") {
		says := func(words string) bool { return strings.Contains(sentence, words) }
		promised := false
		for words := range promises {
			promised = promised || says(words)
		}
		if !promised && !slices.ContainsFunc(noPromises, says) {
			t.Errorf("which test holds this: %s", sentence)
		}
	}
	for _, words := range noPromises {
		if !strings.Contains(text, words) {
			t.Errorf("no sentence says %q", words)
		}
	}
}

// sentences returns the sentences of a page, without its headings and tables.
func sentences(text string) (all []string) {
	begins := regexp.MustCompile("^[A-Z*`(-]")
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); strings.HasPrefix(paragraph, "#") || strings.HasPrefix(paragraph, "|") {
			continue
		}
		begin := 0
		words := strings.Fields(paragraph)
		for i, word := range words {
			if i+1 == len(words) || strings.ContainsAny(word[len(word)-1:], ".:;?!") && begins.MatchString(words[i+1]) {
				all = append(all, strings.Join(words[begin:i+1], " "))
				begin = i + 1
			}
		}
	}
	return all
}

// testNames are the tests and fuzz targets of the whole tree.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w*)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(text, -1) {
			names[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
