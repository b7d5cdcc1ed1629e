#!/bin/sh
# The verb prompt, from outside. What is promised:
#   - each line is answered as `lorac generate` answers it, with the base or with the adapter named last, and
#     going back to either gives the same answer again;
#   - --json prints an object an answer; a line that cannot be obeyed ends a script with the reason.
# usage: test_prompt.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

printf 'text,label\nwarm,good\nflat,bad\nmild,good\ncold,bad\n' >"$dir/train.csv"
for seed in 1 2; do
    [ $seed = 1 ] && name=one || name=two
    cat >"$dir/$name.yaml" <<END
recipe: 1
seed: $seed
model: {path: model, max_length: 40}
adapter: {rank: 4, alpha: 8}
data: {train: train.csv}
template: {prompt: 'So {text} is', completion: ' {label}'}
train: {steps: 6, batch_size: 2, threads: 1}
optimizer: {lr: 0.05}
output: {dir: runs/$name}
END
    "$lorac" train "$dir/$name.yaml" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
done
one=$dir/runs/one/last
two=$dir/runs/two/last

# answer ADAPTER|"" TEXT: what `generate` says
answer() {
    if [ -n "$1" ]; then set -- --adapter "$1" --prompt "$2"; else set -- --prompt "$2"; fi
    "$lorac" generate --model "$dir/model" "$@" --max-tokens 8 --seed 5 --temperature 1.5
}
session() {
    "$lorac" prompt --model "$dir/model" --max-tokens 8 --seed 5 --temperature 1.5 "$@" \
        >"$dir/out" 2>"$dir/err"
}

# ---- the base, one adapter, another at half its strength, and back ----
printf 'warm\n/adapter %s\nwarm\n/adapter %s:0.5\nwarm\n/base\n\nwarm\n/adapter %s\nwarm\n/quit\nwarm\n' \
    "$one" "$two" "$one" | session || fail "prompt: $(cat "$dir/err")"
grep -v '^\[' "$dir/out" >"$dir/got"
{
    echo '> warm' && answer '' warm
    echo "> /adapter $one" && echo '> warm' && answer "$one" warm
    echo "> /adapter $two:0.5" && echo '> warm' && answer "$two:0.5" warm
    echo '> /base' && echo '> warm' && answer '' warm
    echo "> /adapter $one" && echo '> warm' && answer "$one" warm
    echo '> /quit'
} >"$dir/want"
cmp -s "$dir/got" "$dir/want" || { fail "other answers than generate's:"; diff -a "$dir/want" "$dir/got"; }
answer '' warm >"$dir/a"
answer "$one" warm >"$dir/b"
cmp -s "$dir/a" "$dir/b" && fail "the adapter changes nothing: this test shows nothing"
[ "$(grep -ac '^\[.* answers, loaded in .* ms; the base stays loaded\]$' "$dir/out")" = 2 ] ||
    fail "not two adapters loaded"
[ "$(grep -ac '^\[.* answers, switched in' "$dir/out")" = 2 ] || fail "not switched twice"

# ---- JSON, and what cannot be obeyed ----
printf '//x\n/adapter %s\nwarm\n' "$one" | session --json || fail "prompt --json"
[ "$(wc -l <"$dir/out")" = 2 ] || fail "not an object a line"
head -1 "$dir/out" | grep -q '^{"adapter": "the base", "prompt": "/x", "text": ".*", "finish": "' ||
    fail "no answer to a prompt that begins with a slash: $(cat "$dir/out")"
tail -1 "$dir/out" | grep -qF "{\"adapter\": \"$one\", \"prompt\": \"warm\"" || fail "no adapter named"
disobeyed() {
    printf '%s\nwarm\n' "$1" | session && fail "'$1' is obeyed"
    grep -qF -- "$2" "$dir/err" || { fail "'$1': no '$2' in:"; cat "$dir/err"; }
    [ "$(wc -l <"$dir/err")" = 1 ] || fail "'$1': not one line of error"
}
disobeyed /adaptor "lorac: /adaptor: is no command"
disobeyed "/adapter $dir" "adapter_config.json"
disobeyed "/adapter $dir/no" "is no folder"
"$lorac" prompt --model "$dir/model" --max-tokens 0 </dev/null 2>"$dir/err"
[ $? = 2 ] || fail "wrong usage must exit with 2"

finish
