#!/bin/sh
# What a signal does to each verb that works for long. What is promised:
#   - it ends soon, with the code that shells expect of the signal: 129, 130, 143;
#   - generate ends its line, also where it shows no text meanwhile; eval says that it was interrupted;
#   - what fails by itself is still 1.
# usage: test_signals.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

program=$(readlink -f "$lorac")

# ended SIGNAL WORDS...: the program, sent the signal once it listens and the file $wait_for holds something
ended() {
    name=${1%:*}
    want=${1#*:}
    shift
    rm -f "$dir/out" "$dir/err"
    "$lorac" "$@" >"$dir/out" 2>"$dir/err" <"$dir/input" &
    pid=$!
    n=0
    # a handler for SIGINT, the second bit, is set: the program's, not that of the shell that begins it
    until { [ -z "$wait_for" ] || [ -s "$dir/$wait_for" ]; } &&
        [ "$(readlink "/proc/$pid/exe")" = "$program" ] &&
        grep -qs '^SigCgt:.*[2367abef]$' /proc/$pid/status || [ $n = 300 ]; do
        n=$((n + 1)) && sleep 0.03
    done
    [ $n = 300 ] && { fail "lorac $*: does not listen"; cat "$dir/err"; }
    kill "-$name" $pid || fail "lorac $*: had ended before the signal"
    wait $pid
    got=$?
    [ $got = "$want" ] || { fail "lorac $*: exit code $got after $name, expected $want"; cat "$dir/err"; }
}

# a model that can write for long, rows that take long to score, an input that never ends
"$lorac" init --out "$dir/long" --arch llama --tokenizer "$model" --hidden-size 16 --num-hidden-layers 1 \
    --num-attention-heads 2 --intermediate-size 16 --max-position-embeddings 20000 --seed 4 >/dev/null || exit 1
awk 'BEGIN { print "text,label"; for (i = 0; i < 40000; i++) print "so " i " warm," (i % 2 ? "good" : "bad") }' \
    >"$dir/rows.csv"
cat >"$dir/run.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
data: {train: rows.csv, valid: rows.csv, duplicates: keep}
template: {prompt: '{text} is', completion: ' {label}'}
train: {threads: 1}
output: {dir: run}
END
mkfifo "$dir/input"
sleep 600 >"$dir/input" & # keeps it open
writer=$!
trap 'kill $writer; rm -rf "$dir"' EXIT

for signal in HUP:129 INT:130 TERM:143; do
    wait_for=out
    ended $signal generate --model "$dir/long" --prompt it --max-tokens 19000
    [ "$(tail -c 1 "$dir/out" | od -An -tx1)" = " 0a" ] || fail "generate does not end its line"
    wait_for=
    ended $signal eval "$dir/run.yaml"
    has err "lorac: interrupted while evaluating"
    ended $signal predict "$dir/run.yaml" --in "$dir/rows.csv" --out "$dir/new.csv" --overwrite
done
ended INT:130 generate --model "$dir/long" --prompt it --max-tokens 19000 --json
json ids text finish tokens
ended INT:130 prompt --model "$model"
ended TERM:143 compare "$dir/run.yaml" --split valid
refused 1 "no/such: is no folder" generate --model "$dir/no/such" --prompt it

finish
