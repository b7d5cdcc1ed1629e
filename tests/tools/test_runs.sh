#!/bin/sh
# Runs side by side, from outside. What is promised:
#   - runs shows the keys that differ and no others, the best evaluation of each run with its interval, and
#     marks the best and what cannot be told from it; runs that differ in the seed alone are one row;
#   - --csv and --json have the same numbers; --no-cost leaves out what differs each time, and two boards of
#     the same runs are the same bytes;
#   - a terminal shows what it has room for, and the names of the rest;
#   - unfinished, failed and damaged runs are told, and what is asked for and not there is an error.
# usage: test_runs.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"
LC_ALL=C
export LC_ALL
cd "$dir" || exit 1

a_run 2
for seed in 1 2; do
    for rank in 2 4; do
        expect 0 train run.yaml --set seed=$seed --set adapter.rank=$rank --set output.dir=runs/r$rank-s$seed \
            --set 'data.valid=train.csv'
    done
done
expect 0 runs runs
has out "4 runs: accuracy of 12 rows" "mean and deviation over seed" "adapter.rank" "* " "folder"
grep -q "optimizer\|output\.dir" out && fail "a key that does not differ is shown"
[ "$(grep -c '^[*=?]  ' out)" = 2 ] || { fail "not two rows:"; cat out; }
expect 0 runs runs --json
json metric keys group_by rows values folders accuracy low high deviation p shared_rows seconds peak_bytes \
    adapter_bytes without_a_row
[ "$(value shared_rows)" = 12 ] || fail "not on the same rows"
accuracy=$(value accuracy)
expect 0 runs runs --csv
[ "$(wc -l <out)" = 3 ] || fail "not two rows of CSV"
has out "adapter.rank,runs,accuracy,low,high,deviation,rows,p,seconds,memory,adapter,place,folder"
[ "$(sed -n 2p out | cut -d, -f3)" = "$accuracy" ] || fail "--csv and --json differ"
# the accuracy of a run is that of eval
expect 0 eval runs/r2-s1 --json
measured=$(value accuracy)
expect 0 runs runs/r2-s1 --json
[ "$(value accuracy)" = "$measured" ] || fail "$(value accuracy) is not what eval measures, $measured"

expect 0 runs runs --group-by none --where adapter.rank=4 --sort seed --no-cost
has out "2 runs" "r4-s1" "r4-s2"
grep -q "seconds\|memory" out && fail "--no-cost shows the cost"
cp out first
expect 0 runs runs --group-by none --where adapter.rank=4 --sort seed --no-cost
cmp -s first out || fail "the same runs give another table"

# ---- on a terminal: what it has no room for is named, the cost first, then the last keys ----
# on_terminal COLUMNS: the board as a terminal of this width shows it, into out
on_terminal() {
    LC_ALL=C script -qec "stty cols $1; exec '$lorac' runs runs" /dev/null </dev/null | tr -d '\r' >out
}
if command -v script >/dev/null; then
    on_terminal 200
    has out "adapter.rank" "seconds" "memory"
    on_terminal 90
    has out "adapter.rank" "folder" "no room for seconds, memory, adapter (--csv shows all)"
    grep -q "^ .*seconds" out && fail "the cost takes the room of a key: $(cat out)"
    on_terminal 72
    has out "no room for adapter.rank, seconds, memory, adapter" "folder" "r4-s1"
fi

# ---- what did not end ----
sed 's/"status": "finished"/"status": "running"/' runs/r2-s1/run.json >x && mv x runs/r2-s1/run.json
expect 0 runs runs
has out "3 runs" "r2-s1 (adapter.rank 2): running or killed after 8 of 8 steps"
echo '{' >runs/r2-s2/run.json
expect 1 runs runs
has out "r4-s1" "runs/r2-s2/run.json"
expect 1 runs runs --json
has out '"status": "damaged"'

# ---- refused ----
refused 1 "adapter.rnak: a recipe has no such key (did you mean 'rank'?)" runs runs --group-by adapter.rnak
refused 1 "no run has adapter.rank=64" runs runs --where adapter.rank=64
refused 1 "model: holds no run" runs model
refused 1 "nowhere" runs nowhere
refused 1 "there is no such metric (did you mean 'loss'?)" runs runs --metric los
finish
