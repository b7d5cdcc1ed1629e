#!/bin/sh
# model.compute: int8, from outside. What is promised:
#   - plan and train say that the base is approximated, and by how much; run.json keeps it; with
#     float32 nobody speaks of it;
#   - what trains in full is not: that is said;
#   - a run in int8 ends within 2 % of float32's validation loss;
#   - its adapter is an ordinary one: evaluated in what is asked for, float32 where nothing is.
# usage: test_int8.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

a_run 20
said="model.compute: int8 approximates the base: before training, "
expect 0 plan "$dir/run.yaml" --set model.compute=int8
has out "approximates the base"
expect 0 plan "$dir/run.yaml" --set model.compute=int8 --json
json compute approximation rows loss float32 error memory
part="weights, packed"
packed=$(value "$part")
expect 0 plan "$dir/run.yaml" --json
grep -q approximat "$dir/out" && fail "float32 approximates nothing"
[ "$(value "$part")" = 0 ] || fail "float32 packs no weights"
whole="--set adapter.train_also=[lm_head]"
expect 0 plan "$dir/run.yaml" --set model.compute=int8 $whole
has out "int8 is for what stays as it is; 1 of " " linear layers train in full, in float32"
expect 0 plan "$dir/run.yaml" $whole
grep -q "train in full, in" "$dir/out" && fail "all is float32"

expect 0 train "$dir/run.yaml" --set model.compute=int8
has err "$said" "in float32 ("
has runs/one/run.json '"compute": "int8"' '"approximation": {"rows": '
grep -q '"backend": "ref"' "$dir/runs/one/run.json" || [ "$packed" -gt 0 ] || fail "packed weights take no memory"
expect 0 eval "$dir/run.yaml" --adapter "$dir/runs/one/last" --split train --json
there=$(value loss)
expect 0 eval "$dir/run.yaml" --adapter "$dir/runs/one/last" --split train --json \
    --set model.compute=int8
rough=$(value loss)
[ "$there" = "$rough" ] && fail "eval computes the same in float32 and in int8"
expect 0 train "$dir/run.yaml" --overwrite
grep -q approximates "$dir/err" && fail "float32 approximates nothing"
grep -q approximation "$dir/runs/one/run.json" && fail "run.json speaks of an approximation"
expect 0 eval "$dir/run.yaml" --adapter "$dir/runs/one/last" --split train --json
near() { # A B: within 2 %
    awk "BEGIN { d = $1 / $2 - 1; exit !(d < 0.02 && d > -0.02) }" || fail "loss $1, not near $2"
}
near "$there" "$(value loss)"
near "$rough" "$there"
finish
