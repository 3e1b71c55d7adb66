# What a guest runs: those rows of the table that /job/rows names, each
# "what<TAB>ok or FAIL<TAB>more".
cd /tmp

# row WHAT RESULT MORE writes a row.
row() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" | tee -a /results/rows; }

wanted() { grep -qxF "$1" /job/rows; }

# tests WHAT BINARY ARGUMENTS... makes a row of a test binary.
tests() {
  wanted "$1" || return 0
  local what=$1 log=/results/$2-$SECONDS.log begin=$SECONDS result=ok
  "/job/$2" -test.v -test.timeout 8m "${@:3}" >"$log" 2>&1 || result=FAIL
  grep -q '^--- PASS' "$log" || result=FAIL # the names may have changed
  row "$what" $result "$(grep -c '^--- PASS' "$log") passed in $((SECONDS - begin)) s$(grep -o '^ *--- FAIL: [^ ]*' "$log" | sed 's/.*FAIL:/,/' | tr -d '\n')"
}

tests "tests of enforcer/nft" nft.test
tests "tests of enforcer/guard" guard.test
tests "flowtables: blocks end offloaded connections" enforcer.test -test.run 'Flowtable|InsideBegan'
tests "others' changes: lost announcements, networks, adopted, expired" enforcer.test \
  -test.run 'TestLostAnn|TestNothingIsAnn|TestOthersChangesOfNet|TestNetworksAreAdopted|TestWhatRanOut|TestSetFullOf|TestDifferencesGo|TestSlowWrites|TestLeftovers|TestMetrics'
. /job/scenario
