#!/bin/sh
# Several processes, which mpirun starts. What is promised:
#   - they train as one does: losses within 1e-6, and as many again the same bytes; a run goes on with another number;
#   - so they do where what leaves frozen layers is kept, each of its own validation rows;
#   - they evaluate and predict as one does, standard input included;
#   - they share the trials of a sweep, and come to what one does; of a trial that fails all hear;
#   - rank 0 alone is heard; an error of another is told once, with its rank and host, and ends all;
#   - what differs between their recipes or tables is such an error; a verb that is no work for several is refused;
#   - one that is killed ends the run, whose last state goes on; processors are divided.
# usage: test_ranks.sh LORAC MAKE_TINY MPIRUN
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/support_ranks.sh"

# other N FILE OTHER: of N ranks the last finds OTHER in the place of the word FILE
other() {
    printf '#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = %s ] || exec "%s" "$@"\nw=$1; shift\nexec "%s" "$w" %s "$@"\n' \
        $(($1 - 1)) "$alone" "$alone" "$2" >"$dir/one"
    chmod +x "$dir/one"
    printf '#!/bin/sh\nexec "%s" -n %s "%s" "$@"\n' "$mpirun" "$1" "$dir/one" >"$dir/several"
    lorac=$dir/several
}

a_run 4
more="--set adapter.dropout=0.2 --set train.accumulate=2"
expect 0 train run.yaml $more
for n in 2 3; do
    ranks $n
    expect 0 train run.yaml $more --set output.dir=runs/of$n
    near one of$n
    has err "$n ranks of 1 thread,"
    [ "$(grep -c '^step 1/' err)" = 1 ] || fail "not rank 0 alone is heard"
done
ranks 2
expect 0 train run.yaml $more --set output.dir=runs/again
cmp runs/of2/last/adapter_model.safetensors runs/again/last/adapter_model.safetensors || fail "other bytes"
cmp runs/of2/state/state.safetensors runs/again/state/state.safetensors || fail "another state"

# what leaves frozen layers is kept, of validation rows each rank's own
awk 'BEGIN { print "text,label"; for (i = 0; i < 250; i++) printf "so %d warm and so %d flat,good\n", i, i }' >many.csv
lorac=$alone
more="--set adapter.layers=last:1 --set data.valid=many.csv --set eval.metrics=[loss]"
expect 0 train run.yaml $more --set output.dir=runs/whole --set train.cache_frozen_prefix=off
for n in 1 3; do
    [ $n = 1 ] || ranks $n
    expect 0 train run.yaml $more --set output.dir=runs/kept$n
    has err "layer 0 runs once a row" "of validation rows"
    near whole kept$n
done

# evaluations, predictions
for words in "eval runs/one --split test --errors wrong.csv" "eval runs/one --split train --set eval.metrics=[loss,exact_match]" \
    "predict runs/one --in train.csv --out answers.csv --overwrite" "predict runs/one --in - --out answers.csv --overwrite --top 2"; do
    for n in 1 3; do
        lorac=$alone
        [ $n = 1 ] || ranks $n
        rm -f wrong.csv answers.csv
        "$lorac" $words <train.csv >out.$n 2>err || { fail "$n: $words"; cat err; }
        cat wrong.csv answers.csv >>out.$n 2>/dev/null
    done
    cmp out.1 out.3 || { fail "other output of $words"; diff out.1 out.3; }
done

# sweeps: of three trials each, which are as many as there are ranks, or more
sweep() { # NAME LINES
    printf 'sweep: 1\nrecipe: run.yaml\nobjective: {metric: loss}\ndir: %s\n%s\n' "$1" "$2" >"$1.yaml"
}
same() { # A B: the same runs, by their files and by what is told of them
    for s in "$1" "$2"; do
        "$alone" runs "$s" --no-cost >"$s.board"
        cat "$s"/0*/*/adapter_model.safetensors "$s"/0*/state/state.safetensors | cksum >>"$s.board"
    done
    cmp "$1.board" "$2.board" || { fail "$1 and $2 differ"; diff "$1.board" "$2.board"; }
}
grid='vary: {optimizer.lr: [1e-3, 1e-2, 2e-2]}'
half='strategy: {halving: {trials: 6, keep: 1/2, every: 1 epoch}}
vary: {optimizer.lr: {from: 1e-4, to: 1e-2, log: true}, adapter.rank: [1, 2]}'
lorac=$alone
sweep grid1 "$grid"
expect 0 sweep grid1.yaml
sweep half1 "$half"
expect 0 sweep half1.yaml
for n in 2 3; do
    ranks $n
    sweep grid$n "$grid"
    expect 0 sweep grid$n.yaml
    has err "3 trials, 0 of them ended" "those of rank 0 of $n are told here"
    [ "$(grep -c '3 runs: loss of' out)" = 1 ] || fail "not one board"
    same grid1 grid$n
    sweep half$n "$half"
    expect 0 sweep half$n.yaml
    same half1 half$n
done
expect 0 sweep grid3.yaml
has err "3 trials, 3 of them ended"
refused 2 "--shard and mpirun exclude each other" sweep grid3.yaml --shard 1/2
sweep grid3 'vary: {optimizer.lr: [1e-3, 1e-2]}'
refused 1 "holds another sweep" sweep grid3.yaml
sweep bad 'vary: {train.watchdog.loss_above: [null, 1e-6], seed: [1, 2]}' # the third and the fourth fail
ranks 2
expect 1 sweep bad.yaml
[ "$(grep -c ': failed after 3 of 12 steps, .*: step 3: the training loss' out)" = 2 ] || { fail "not told of both"; cat out; }
[ "$(ls -d bad/*.failed | wc -l)" = 2 ] || fail "not both are recorded"

# errors
ranks 3
refused 1 "runs/one: holds a run already" train run.yaml
refused 1 "unknown key (did you mean 'rank'?)" train run.yaml --set adapter.rnk=2
refused 2 "unknown option --what" eval run.yaml --what
refused 1 "lorac inspect is one process's work, and mpirun started 3" inspect model
sed 's/flat/level/' train.csv >train2.csv
other 3 "--set data.train=train2.csv" 
refused 1 "rank 2 on $(hostname) has another content of data.train than rank 0 on" train run.yaml --overwrite
other 2 "--set optimizer.lr=0.02"
refused 1 "rank 1 on $(hostname) has another optimizer.lr than rank 0 on $(hostname): 0.02, not 0.01" train run.yaml --overwrite
other 2 "--set model.path=$dir/no-model"
refused 1 "rank 1 on $(hostname): " eval run.yaml
[ -e runs/one/run.json ] || fail "the run is gone"

# one is killed: the others end, and the last state is whole
ranks 2
sed 's/epochs: 4/epochs: 400/; s/one}/long, save_every: 100 steps}/' run.yaml >long.yaml
"$lorac" train long.yaml >out 2>err &
pid=$!
n=0
until [ -e runs/long/last/adapter_config.json ] || [ $n = 600 ]; do n=$((n + 1)) && sleep 0.05; done
for p in $(pgrep -f "train long.yaml"); do
    grep -qz OMPI_COMM_WORLD_RANK=1 /proc/$p/environ 2>/dev/null && kill -9 $p
done
wait $pid
[ $? != 0 ] || fail "a run that lost a rank ends well"
has err "exited on signal 9"
lorac=$alone
expect 0 train long.yaml --resume
has err "1 ranks share the run now, and 2 did" "resuming after step "

finish
