#!/bin/sh
# lorac sweep. What is promised:
#   - --list shows each trial with its steps, and leaves nothing behind;
#   - it ends with what lorac runs prints of its folder;
#   - a sweep that is killed at any moment and begun again ends with the files of an undisturbed one, of which runs
#     prints the same; with halving, too, where those that are left out have not gone on, and stand aside;
#   - two at a time, and shards, come to the same; what has ended is not run again;
#   - a trial that fails is told, and recorded with its message, and the others go on;
#   - folders of other sweeps, shares that are none and metrics without labels are refused before anything runs.
# usage: test_sweep.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

cd "$dir" || exit 1
awk 'BEGIN { print "text,label"; for (i = 0; i < 60; i++) print "so " i " warm," (i % 2 ? "good" : "bad") }' >rows.csv
cat >run.yaml <<END
recipe: 1
model: {path: model, max_length: 40}
data: {train: rows.csv, valid: rows.csv, duplicates: keep}
template: {prompt: '{text} is', completion: ' {label}'}
train: {threads: 1, epochs: 4, batch_size: 2}
eval: {every: 20, samples: 0, metrics: [loss, accuracy]}
output: {save_every: 7}
END
sweep() { # NAME LINES: the file NAME.yaml
    printf 'sweep: 1\nrecipe: run.yaml\nobjective: {metric: loss}\ndir: %s\n%s\n' "$1" "$2" >"$1.yaml"
}
grid='vary: {adapter.rank: [1, 2], optimizer.lr: [1e-3, 1e-2]}'
half='strategy: {halving: {trials: 4, keep: 1/2, every: 20}}
vary: {optimizer.lr: {from: 1e-4, to: 1e-2, log: true}, adapter.rank: [1, 2]}'

# what a sweep leaves, without times
left() {
    for run in "$1"/0*-*; do
        [ -d "$run" ] || continue
        echo "$run" | sed 's#.*/##'
        sed 's/,[^,]*$//' "$run/metrics.csv"
        cat "$run"/*/adapter_model.safetensors "$run/state/state.safetensors" | cksum
    done
}
same() { # A B: both left the same
    left "$1" >a.left
    left "$2" >b.left
    cmp -s a.left b.left || { fail "$1 and $2 differ"; diff a.left b.left | head -5; }
    [ -s a.left ] || fail "$1 holds no run"
    "$lorac" runs "$1" --no-cost >a.board
    "$lorac" runs "$2" --no-cost >b.board
    cmp -s a.board b.board || { fail "$1 and $2 compare otherwise"; diff a.board b.board; }
}

# killed NAME WORDS...: five times begun again, and killed when the runs have come so far; then it ends by itself
killed() {
    file=$1.yaml
    name=$1
    shift
    for lines in 9 70 150 210 270; do
        "$lorac" sweep "$file" "$@" >out 2>err &
        pid=$!
        n=0
        until [ "$(cat "$name"/0*/metrics.csv 2>"$dir/none" | wc -l)" -ge $lines ] || [ $n = 200 ]; do
            n=$((n + 1)) && sleep 0.03
        done
        kill -9 $pid 2>"$dir/none"
        wait $pid 2>"$dir/none"
    done
    expect 0 sweep "$file" "$@"
}

sweep one "$grid"
expect 0 sweep one.yaml --list
has out 'adapter.rank 2, optimizer.lr 0.01' ' 120 ' '4 trials'
[ -e one ] && fail "--list leaves a folder"
expect 0 sweep one.yaml --list --json
json trials trial changes steps bytes seconds ended
has out '"changes": {"adapter.rank": "2", "optimizer.lr": "0.01"}'
[ -e one ] && fail "--list --json leaves a folder"
expect 0 sweep one.yaml --list --shard 2/2
has out '2 trials'
[ "$(grep -c '^00' out)" = 2 ] || fail "--list shows another shard's trials: $(cat out)"
expect 0 sweep one.yaml
has err '4 trials, 0 of them ended' '(4 of 4 ended)'
[ "$(ls one | wc -l)" = 5 ] || fail "not four runs and sweep.json"
has out '4 runs: loss of 60 rows' 'adapter.rank  optimizer.lr'
cp out one.out
expect 0 sweep one.yaml
has err '4 trials, 4 of them ended'
cmp -s out one.out || fail "the second time prints something else"
expect 0 runs one
cmp -s out one.out || fail "runs prints something else"

sweep two "$grid"
killed two
same one two
sweep three "$grid"
killed three --jobs 2
same one three
sweep four "$grid"
expect 0 sweep four.yaml --shard 1/2
has err '4 trials, 0 of them ended' 'part 1 of 2 of them is run here'
has out '2 trials of the sweep to come'
[ "$(ls four | wc -l)" = 3 ] || fail "the first half is not two runs"
expect 0 sweep four.yaml --shard 2/2
same one four
expect 0 sweep one.yaml --json
json metric keys rows without_a_row trials_to_come
# both parts at once, in a folder that neither finds
for i in 1 2 3 4 5; do
    rm -rf four
    "$lorac" sweep four.yaml --shard 1/2 >out 2>err &
    pid=$!
    "$lorac" sweep four.yaml --shard 2/2 >"$dir/out2" 2>"$dir/err2" || { fail "part 2 beside part 1"; cat err2; }
    wait $pid || { fail "part 1 beside part 2"; cat err; }
    [ $i = 1 ] && same one four
done
# of which nothing has begun
mkdir nothing && cp one/sweep.json nothing/
expect 0 runs nothing
has out 'no run has come to its end' '4 trials of the sweep to come'
refused 1 "none of the sweep's 4 trials has begun" report nothing --out page.html

sweep five "$half"
expect 0 sweep five.yaml
has err 'paused after step 20' 'paused after step 40'
[ "$(grep -c '): paused after [24]0 of 120 steps, loss [0-9.]* at step [24]0$' out)" = 3 ] ||
    { fail "not three of four stand aside"; cat out; }
[ "$(grep -l ',valid,' five/0*/metrics.csv | wc -l)" = 4 ] || fail "not all were evaluated"
[ "$(grep -c '^40,.*,valid' five/0*/metrics.csv | grep -c ':1$')" = 2 ] || fail "not two went on after step 20"
went=$(for f in five/0*/metrics.csv; do
    awk -F, '$3 == "valid" && $1 == 20 { loss = $4 } $3 == "valid" && $1 == 40 { on = 1 } END { print loss, on + 0 }' "$f"
done | sort -g | sed 's/.* //' | tr -d '\n')
[ "$went" = 1100 ] || fail "not the two best of step 20 went on: $went"
sweep six "$half"
killed six
same five six
sed -i 's/"stopped"/"running"/' six/0*/run.json # killed when the state was saved, and run.json not yet
expect 0 sweep six.yaml
same five six
sweep seven "$half"
expect 0 sweep seven.yaml --jobs 3
same five seven
refused 1 'seven.yaml:5:11: strategy: halving compares all trials' sweep seven.yaml --shard 1/2
refused 1 "compares trials after 20 steps, and the first evaluation is that of step 50" \
    sweep six.yaml --set eval.every=50

# two of four fail: their losses are above nothing
sweep eight 'vary: {train.watchdog.loss_above: [null, 1e-6], seed: [1, 2]}'
expect 1 sweep eight.yaml
has err '003-' 'failed: step 3: the training loss' '(2 of 4 ended'
[ "$(ls -d eight/*.failed | wc -l)" = 2 ] || fail "the failed ones are not recorded"
grep -q 'watchdog' eight/003-*.failed || fail "the message is not recorded"
has out 'failed after 3 of 120 steps' ': step 3: the training loss'

# what is refused
sweep one 'vary: {adapter.rank: [1, 4]}'
refused 1 "holds another sweep: its sweep.json has the trial '001-" sweep one.yaml
sweep one 'vary: {adapter.rank: [1, 2], optimizer.lr: [1e-3, 1e-2], seed: [5]}'
refused 1 'holds another sweep' sweep one.yaml
sed 's/metric: loss/metric: loss, mode: max/' one.yaml >mode.yaml
refused 1 'mode.yaml:3:12: objective: mode: of loss less is better, so it is min' sweep mode.yaml
mkdir nine && touch nine/letter
sweep nine "$grid"
refused 1 'holds files that are no sweep of lorac' sweep nine.yaml
refused 2 '--shard 3/2: expected I/N' sweep nine.yaml --shard 3/2
refused 2 '--jobs must be from 1' sweep nine.yaml --jobs 0
sed 's/loss/accuracy/' nine.yaml >ten.yaml
refused 1 'ten.yaml:3:12: objective: accuracy is not measured: there are no labels' sweep ten.yaml \
    --set 'template.completion=" {label} {text}"'
sweep ten 'vary: {adapter.targets: [[q_proj], [nothing_proj]]}'
refused 1 "trial 002-" sweep ten.yaml
[ -e ten ] && fail "a sweep that is refused leaves a folder"
sed 's/so 1 warm/so 1 cold/' rows.csv >more.csv && mv more.csv rows.csv
sweep two "$grid"
refused 1 'has changed since the run began' sweep two.yaml
finish
