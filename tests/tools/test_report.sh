#!/bin/sh
# lorac report, from outside. What is promised:
#   - of a run, of several, and of a folder that runs lie in it writes one file, and prints its name;
#   - the file holds no address; it is written again, but no other file is overwritten;
#   - with --watch it ends with the run, and what it wrote last is not loaded again;
#   - a folder without a run, a missing one and wrong usage are one line on stderr.
# usage: test_report.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

a_run 4
expect 0 train "$dir/run.yaml"
expect 0 train "$dir/run.yaml" --set adapter.rank=2 --set output.dir="$dir/runs/two"
page=$dir/page.html

expect 0 report --help
has out "usage: lorac report" "--out FILE" "--watch"
expect 0 report "$dir/runs/one" --out "$page"
has out "$page"
has page.html "<!DOCTYPE html>" "<b>Loss</b>" "finished"
grep -qE 'https?:|<script|src=|href=|url\(' "$page" && fail "the page points elsewhere"
grep -q 'http-equiv="refresh"' "$page" && fail "a page that nobody writes again is loaded again"
for words in "$dir/runs" "$dir/runs/one $dir/runs/two"; do
    # shellcheck disable=SC2086
    expect 0 report $words --out "$page" --title "One & two"
    has page.html "2 runs, 2 at their end" "<title>One &amp; two</title>" "<th>adapter.rank</th>"
done
expect 0 report "$dir/runs/one" --out "$page" --watch # nothing goes on: it ends

# a run that goes on
cp -r "$dir/runs/one" "$dir/going"
sed 's/"status": "finished"/"status": "running"/' "$dir/runs/one/run.json" >"$dir/going/run.json"
"$lorac" report "$dir/going" --out "$dir/going.html" --watch >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 100); do [ -s "$dir/going.html" ] && break; sleep 0.1; done
has going.html 'http-equiv="refresh"' "running or killed"
cp "$dir/runs/one/run.json" "$dir/going/run.json"
wait $pid || fail "--watch: exit code $?"
has going.html ">finished<"
grep -q 'http-equiv="refresh"' "$dir/going.html" && fail "the last page is loaded again"

# a damaged run is told and left out; alone it is the error
cp -r "$dir/runs/two" "$dir/runs/bad"
echo oops >"$dir/runs/bad/run.json"
expect 0 report "$dir/runs" --out "$page"
has err "note: left out: $dir/runs/bad/run.json"
has page.html "2 runs"
refused 1 "$dir/runs/bad/run.json" report "$dir/runs/bad" --out "$page"

echo mine >"$dir/thesis.html"
refused 1 "is there already, and no report of lorac" report "$dir/runs/one" --out "$dir/thesis.html"
grep -qx mine "$dir/thesis.html" || fail "another's file is gone"
mkdir "$dir/nothing"
refused 1 "holds no run (no recipe.resolved.yaml below it)" report "$dir/nothing" --out "$page"
refused 1 "$dir/gone" report "$dir/gone" --out "$page"
refused 2 "--out" report "$dir/runs/one"
finish
