#!/bin/sh
# lorac_bench from outside, on a tiny model; no times are asserted. What is promised:
#   - each thing that it measures prints one JSON object with the fields that programs read, ratios among them, and
#     who was measured: processor, threads, libraries;
#   - tables for people are at most 80 columns wide;
#   - variables that hold OpenBLAS to other kernels are told on stderr;
#   - a fresh model that it made for itself goes with it; one that it was given a folder for stays;
#   - what it cannot do it says in one line, with exit code 2 for wrong usage.
# usage: test_bench.sh LORAC_BENCH MAKE_TINY
. "$(dirname "$0")/support.sh"
TMPDIR=$dir/tmp
export TMPDIR
mkdir "$TMPDIR"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

narrow() { # what was printed
    awk 'length($0) > 80 { exit 1 }' "$dir/out" || { fail "wider than 80 columns:"; cat "$dir/out"; }
}
tidy() {
    [ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"
}

two_steps

for word in --help "step --help" "ops --help" "prompt --help" "decode --help" "start --help" "labels --help" "tokenize --help"; do
    # shellcheck disable=SC2086
    expect 0 $word
    narrow
done
expect 2
expect 2 speed
has err "there is no 'speed'"
expect 2 step --token 3
has err "did you mean '--tokens'?" "lorac_bench step --help"
expect 1 step --shape tinny
has err "did you mean 'tiny'?"
expect 1 step --shape tiny --compute float3
has err "compute float3" "float32"

# ---- steps ----
expect 0 step --shape tiny --tokens 32 --length 8 --scored 2 --rounds 1 --threads 1 --json
json machine cpu threads openblas onednn model parameters batch_tokens steps compute seconds tokens_per_second \
    flops_per_second ideal_over_measured least_over_measured adapters_share gain_over_first activation_bytes peak_bytes \
    products rows out in median least most
# four rows of which two tokens score: the head runs for eight rows, not for 32
has out '"rows": 8, "out": 256' '"rows": 32, "out": 128'
tidy
[ -s "$dir/err" ] && fail "says something: $(cat "$dir/err")"
OPENBLAS_CORETYPE=Haswell expect 0 step --model "$dir/fresh" --shape tiny --tokens 16 --rounds 1
has err "OPENBLAS_CORETYPE=Haswell is set"
has out "ideal/measured" "peak memory" "products: rows, out, in"
narrow
[ -f "$dir/fresh/config.json" ] || fail "the model that it was to make is not there"
expect 0 step --recipe "$dir/run.yaml" --set adapter.targets='[q_proj]' --tokens 16 --rounds 1 --json
json steps ideal_over_measured
has out "\"model\": \"$model\"" '"adapter_parameters": '

computes() { # these, or those, were measured, and no others
    found=$(grep -o '"compute": "[^"]*"' "$dir/out" | sort -u | sed 's/.*: //' | tr -d '"\n')
    case $found in "$1" | "$2") ;; *) fail "computes in $found, expected $1" ;; esac
}
small="--tokens 16 --rounds 1 --json"
# shellcheck disable=SC2086
{
    # with int8 the head's products are bfloat16's, or float32's where there is none
    expect 0 step --recipe "$dir/run.yaml" --set model.compute=int8 $small
    computes bfloat16int8 float32int8
    expect 0 step --recipe "$dir/run.yaml" --set model.compute=int8 --compute float32 $small
    computes float32 float32
    expect 0 prompt --model "$model" --compute auto $small
    computes bfloat16 float32
    auto=$found
    expect 0 step --recipe "$dir/run.yaml" --set model.compute=auto $small
    computes "$auto" "$auto"
}

# ---- what a recipe says of its steps: done, refused or told ----
set -- step --recipe "$dir/run.yaml" --tokens 16 --rounds 1
expect 0 "$@" --json
has out '"keep_activations": "all"' '"frozen_layers": 0'
all=$(value activation_bytes)
expect 0 "$@" --set train.keep_activations=layers --json
has out '"keep_activations": "layers"'
[ "$(value activation_bytes)" -lt "$all" ] || fail "keeps as much: $(value activation_bytes), $all"
expect 0 "$@" --set train.keep_activations=layers --set adapter.layers=last:1
has out "activations (layers)" "1 frozen layers run in every step here"
narrow
expect 1 "$@" --set train.accumulate=4
has err "train.accumulate: found 4" "expected 1"
expect 1 "$@" --set train.cache_frozen_prefix=on --set adapter.layers=last:1
has err "train.cache_frozen_prefix: found on" "expected off or auto"

# ---- the others ----
expect 0 ops --model "$model" --tokens 8 --rounds 1 --json
json machine memory_read memory_copy operations name bound share products
expect 0 ops --model "$model" --tokens 8 --rounds 1
narrow
has out "products with weights in float32"
expect 0 ops --model "$model" --tokens 8 --rounds 1 --compute int8 --json
has out '"model": "'"$model"'", "compute": "int8"' '"linear 1 x' '(int8)"'
expect 1 ops --model "$model" --tokens 8 --rounds 1 --compute int4
has err "compute int4: 'int4' is not one of float32, bfloat16, int8 and auto"
for what in prompt decode; do
    expect 0 $what --model "$model" --tokens 4 --rounds 1 --json
    json machine memory_read tokens_per_second weight_bytes peak_bytes
    expect 0 $what --model "$model" --tokens 4 --rounds 1
    narrow
done
expect 2 prompt --model "$model" --compute float32 --compute int8 # one is measured
has err "--compute is given twice"
expect 2 decode --model "$model" --compute float32 --compute int8
has err "--compute is given twice"
expect 0 prompt --model "$model" --tokens 4 --rounds 1 --json
json ideal_over_measured
expect 0 decode --model "$model" --tokens 4 --rounds 1 --json
json share_of_bandwidth
expect 0 labels "$dir/run.yaml" --set data.valid="$dir/table.csv" --set 'data.labels.map={x: a, y: b}' --rounds 1 --json
json cpu threads compute rows labels accuracy prompt_tokens computed_tokens eval_seconds prompts_seconds eval_over_prompts
has out '"rows": 4, "labels": 2'
expect 0 labels "$dir/run.yaml" --set data.valid="$dir/table.csv" --set 'data.labels.map={x: a, y: b}' --rounds 1
narrow
expect 0 tokenize --model "$model" "$dir/table.csv" --rounds 1 --json
json cpu rounds bytes tokens bytes_per_second
has out '"bytes": 27'
expect 0 tokenize --model "$model" "$dir/table.csv" --rounds 1
narrow
expect 0 start --recipe "$dir/run.yaml" --model "$model" --rounds 1 --json
json cpu first_step_seconds step_seconds step_peak_bytes first_token_seconds token_peak_bytes
expect 0 start --recipe "$dir/run.yaml" --rounds 1
narrow
expect 1 start --recipe "$dir/missing.yaml" --rounds 1
has err "missing.yaml"
expect 1 start
has err "--recipe or --model"
tidy
finish
