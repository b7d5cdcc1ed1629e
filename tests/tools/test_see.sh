#!/bin/sh
# The verb next, from outside. What is promised:
#   - next shows the likeliest tokens with the probabilities that the logits give, base and adapter side by
#     side behind the same tokens, in readable signs; blocks where the locale is UTF-8, '#' elsewhere;
#   - --json prints one object on one line; wrong usage and bad input are one line on stderr.
# usage: test_see.sh LORAC MAKE_TINY
set -u
lorac=$1
make_tiny=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
OMP_NUM_THREADS=1
LC_ALL=C
export OMP_NUM_THREADS LC_ALL

fail() {
    echo "FAILED: $*"
    failed=1
}

# expect CODE WORDS...: the program ends with this code; out and err keep what it printed.
expect() {
    want=$1
    shift
    "$lorac" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ "$got" = "$want" ] || {
        fail "lorac $*: exit code $got, expected $want"
        sed 's/^/    /' "$dir/err"
    }
}

# refused CODE TEXT WORDS...: it fails with one line that holds the text, and prints nothing.
refused() {
    code=$1
    text=$2
    shift 2
    expect "$code" "$@"
    grep -qF -- "$text" "$dir/err" || { fail "lorac $*: no '$text' in:"; cat "$dir/err"; }
    [ -s "$dir/out" ] && fail "lorac $*: prints although it fails"
    [ "$(grep -c '^lorac: ' "$dir/err")" = 1 ] || fail "lorac $*: not one line of error"
}

# has FILE TEXT...: each stands in it.
has() {
    file=$1
    shift
    for text; do
        grep -qF -- "$text" "$dir/$file" || { fail "no '$text' in:"; cat "$dir/$file"; }
    done
}

# json KEY...: one line with one object that has these keys.
json() {
    [ "$(wc -l <"$dir/out")" = 1 ] || fail "not one line of JSON"
    grep -q '^{.*}$' "$dir/out" || { fail "no JSON object:"; cat "$dir/out"; }
    for key; do
        has out "\"$key\": "
    done
}

# value KEY: the first of that name in the JSON printed last.
value() {
    grep -o "\"$1\": [^],}]*" "$dir/out" | head -1 | sed 's/.*: //'
}

# near A B TOLERANCE
near() {
    awk "BEGIN { d = ($1) - ($2); exit !(d < $3 && d > -$3) }" || fail "$1 is not $2"
}

"$make_tiny" "$dir/model" || exit 1
model=$dir/model
{
    echo "text,label"
    for i in 1 2 3 4 5 6; do
        echo "so $i warm,good"
        echo "so $i flat,bad"
    done
} >"$dir/train.csv"
cat >"$dir/run.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
adapter: {rank: 4, alpha: 8}
data: {train: train.csv, valid: {split: 0.25, stratify: label}, test: train.csv}
template: {prompt: '{text} is', completion: ' {label}'}
train: {epochs: 4, batch_size: 3, threads: 1}
optimizer: {lr: 0.01}
eval: {metrics: [loss, accuracy]}
output: {dir: runs/one}
END
expect 0 train "$dir/run.yaml"
adapter=$dir/runs/one/best

# ---- next ----
expect 0 next --help
has out "usage: lorac next" "--top N" "--json"
# probability ID FOLDER...: of the last row of logits, by softmax in awk
probability() {
    awk -v id="$1" '{ v[NR] = $1 } NR == 1 || $1 > most { most = $1 }
        END { for (i = 1; i <= NR; i++) sum += exp(v[i] - most); print exp(v[id + 1] - most) / sum }' \
        "$dir/$2"
}
ids=256,115,111,32,49,32,119,97,114,109,32,105,115 # <s>so 1 warm is
expect 0 score --model "$model" --ids $ids --logits "$dir/base.safetensors"
expect 0 score --model "$model" --adapter "$adapter" --ids $ids --logits "$dir/with.safetensors"
for side in base with; do # the last 260 floats
    tail -c 1040 "$dir/$side.safetensors" | od -An -v -tf4 -w4 >"$dir/$side"
done
expect 0 next --model "$model" --prompt 'so 1 warm is' --json
json prompt prompt_ids base_entropy vocabulary next
grep -q '"adapter' "$dir/out" && fail "an adapter that was not given"
near "$(value base)" "$(probability "$(value id)" base)" 1e-6
[ "$(grep -o '"id": ' "$dir/out" | wc -l)" = 10 ] || fail "not ten tokens by default"
expect 0 next --model "$model" --adapter "$adapter" --prompt 'so 1 warm' --top 260 --json
json base_entropy adapter_entropy # through the template
has out '"prompt": "<s>so 1 warm is"'
near "$(value base)" "$(probability "$(value id)" base)" 1e-6
near "$(value adapter)" "$(probability "$(value id)" with)" 1e-6
grep -o '"adapter": [^},]*' "$dir/out" | awk '{ sum += $2 } END { exit !(NR == 260 && sum > 0.99999 && sum < 1.00001) }' ||
    fail "the probabilities do not add up to 1"
most=$(awk '{ e = exp($1); s += e; h += e * $1 } END { print log(s) - h / s }' "$dir/with")
near "$(value adapter_entropy)" "$most" 1e-4
expect 0 next --model "$model" --adapter "$adapter" --prompt 'so 1 warm' --top 400
has out 'prompt   "<s>so 1 warm is"  (13 tokens)' '" "' '"\n"' '"\x80"' '"\""' '</s>' '###'
head -4 "$dir/out" | grep -q 'base  *adapter' || fail "no two columns"
LC_ALL=C.UTF-8 "$lorac" next --model "$model" --prompt 'so' >"$dir/out" || fail "next"
if LC_ALL=C.UTF-8 locale charmap 2>/dev/null | grep -qx UTF-8; then has out '█'; fi
nbsp=$(printf '\302\240')
expect 0 next --model "$model" --prompt "x é \"$nbsp" --top 1
has out 'x é \"\u{A0}"'
refused 2 "--top must be at least 1" next --model "$model" --prompt a --top 0
refused 2 "--prompt TEXT is missing" next --model "$model"
refused 1 "--field needs an adapter with a template" next --model "$model" --prompt a --field x=y
long=$(awk 'BEGIN { for (i = 0; i < 600; i++) printf "a" }')
refused 1 "position 512 is past the 512 that this model can read" next --model "$model" --prompt "$long"

[ $failed = 0 ] && echo "all as promised"
exit $failed
