#!/bin/sh
# Encoders with their head of masked tokens, from outside. What is promised:
#   - score gives the pseudo-likelihood of a text, next what stands at each mask: the numbers of transformers and PEFT,
#     of a text that is longer than the model reads, too;
#   - ids are taken as they are given, and what frames a text is not scored;
#   - what makes no sense for an encoder is refused by name;
#   - the card of an adapter that was trained on masks says how to ask it, and that works.
# usage: test_masked.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"
golden=$(cd "$(dirname "$0")/../golden" && pwd)
masked=$golden/masked

# near A B [RELATIVE]
near() {
    awk "BEGIN { d = $1 - $2; if (d < 0) d = -d; exit !(d <= ${3:-2e-5} * $2) }"
}

# ---- the numbers of transformers ----
while IFS=, read -r case what base adapted; do
    if [ ! -d "$dir/$case" ]; then
        cp -r "$golden/models/$case" "$dir/$case"
        cp "$masked/vocab.txt" "$masked/tokenizer_config.json" "$dir/$case"
    fi
    case $what in
    short | long)
        expect 0 score --model "$dir/$case" --text "$masked/$what.txt" --json
        near "$(value pseudo_nll)" "$base" || fail "$case $what: $(value pseudo_nll), expected $base"
        expect 0 score --model "$dir/$case" --adapter "$dir/$case/adapter" --text "$masked/$what.txt" --json
        near "$(value pseudo_nll)" "$adapted" || fail "$case $what: $(value pseudo_nll), expected $adapted"
        json tokens pseudo_nll mean_pseudo_nll pseudo_perplexity
        ;;
    *)
        expect 0 next --model "$dir/$case" --adapter "$dir/$case/adapter" --prompt "$(cat "$masked/guess.txt")" --top 1 \
            --json
        json prompt prompt_ids vocabulary masks position base_entropy adapter_entropy tokens
        sed 's/{"position"/\n&/g' "$dir/out" | grep "^{\"position\": ${what% *}," >"$dir/one"
        [ "$(grep -o '"token": "[^"]*"' "$dir/one")" = "\"token\": \"${what#* }\"" ] || fail "$case $what: $(cat "$dir/one")"
        mv "$dir/one" "$dir/out"
        near "$(value base)" "$base" 1e-4 || fail "$case $what: $(value base), expected $base"
        near "$(value adapter)" "$adapted" 1e-4 || fail "$case $what: $(value adapter), expected $adapted"
        ;;
    esac
done <"$masked/expected.csv"

# ---- ids, words, logits ----
bert=$dir/bert-lm
expect 0 score --model "$bert" --text "$masked/short.txt"
has out "tokens              7   (masked in turn; 9 in all)" "pseudo-nll          32.11" \
    "mean pseudo-nll     4.587" "pseudo-perplexity   98.2"
expect 0 score --model "$bert" --ids 2,11,42,7,7,60,23,35,4 --json
near "$(value pseudo_nll)" 32.1101163 || fail "--ids with a frame: $(value pseudo_nll)"
expect 0 score --model "$bert" --ids 11,42,7,7,60,23,35 --json
near "$(value pseudo_nll)" 32.1101163 && fail "--ids without a frame is framed"
[ "$(value tokens)" = 7 ] || fail "--ids without a frame: $(value tokens) tokens"
expect 0 score --model "$bert" --text "$masked/long.txt" --context 16
expect 0 score --model "$bert" --text "$masked/long.txt" --context 3 --json
[ "$(value tokens)" = 23 ] || fail "--context 3: $(value tokens) tokens"
expect 0 score --model "$bert" --text "$masked/short.txt" --logits "$dir/logits.safetensors"
head -c 200 "$dir/logits.safetensors" | tr -d '\0' | grep -aq '\[9, *67\]' || fail "--logits: not (9,67)"
expect 0 next --model "$bert" --prompt 'w30 [MASK] w9' --top 3
has out "[CLS] w30 [MASK] w9 [SEP]" "base     entropy" "64 others"
grep -q '^mask' "$dir/out" && fail "one mask is numbered"
expect 0 next --model "$bert" --prompt "$(cat "$masked/guess.txt")" --top 3
has out "mask 1   token 3" "mask 2   token 6"

# ---- a plan: which tokens are asked for is drawn each time ----
cat >"$dir/masks.yaml" <<END
recipe: 1
model: {path: $bert, max_length: 12}
data: {kind: text, train: $masked/long.txt}
objective: masked_lm
train: {steps: 1, batch_tokens: 24, threads: 1}
END
expect 0 plan "$dir/masks.yaml"
has out "train     1 document in 3 pieces, " "example, document 1:"
sed -n '/^example/{n;p;q;}' "$dir/out" | grep -q '^  \[CLS\]|\( w[0-9]*|\)* \[SEP\]|$' || fail "tokens are marked: $(cat "$dir/out")"
refused 1 "lorac next guesses what is masked" predict "$dir/masks.yaml" --text w9

# ---- refused ----
refused 1 "the text has no mask: a bert guesses what is masked; write [MASK] where a token is to be guessed" \
    next --model "$bert" --prompt 'w30 w9'
refused 1 "--chat: a bert is an encoder, which reads one text" next --model "$bert" --chat --prompt '[MASK]'
refused 1 "--system is a part of a chat: it needs --chat" next --model "$bert" --system s --prompt '[MASK]'
refused 1 "--field needs an adapter with a template" next --model "$bert" --field a=b --prompt '[MASK]'
refused 1 "--chat: a bert is an encoder, which answers nobody" score --model "$bert" --chat "$masked/short.txt"
refused 1 "2 tokens, all of them the tokenizer's own" score --model "$bert" --ids 2,4
refused 1 "--context must be at least 3" score --model "$bert" --text "$masked/short.txt" --context 2
refused 1 "--context 17: the model reads at most 16 tokens" score --model "$bert" --text "$masked/short.txt" --context 17
refused 1 "--logits needs all 25 tokens in one context of 16" score --model "$bert" --text "$masked/long.txt" \
    --logits "$dir/x"
refused 1 "a bert is an encoder" generate --model "$bert" --prompt 'w30 [MASK]'
cp -r "$golden/models/bert-bare" "$dir/bare"
cp "$masked/vocab.txt" "$masked/tokenizer_config.json" "$dir/bare"
for verb in "next --prompt [MASK]" "score --text $masked/short.txt"; do
    # shellcheck disable=SC2086 # its words
    refused 1 "holds an encoder's body alone" ${verb%% *} --model "$dir/bare" ${verb#* }
done

# ---- the card ----
for i in 1 2 3 4; do echo "w30 w9 w12 w8 w$((i + 20))"; done >"$dir/words.txt"
cat >"$dir/masked.yaml" <<EOF
recipe: 1
model: {path: $bert, max_length: 16}
data: {kind: text, train: words.txt}
objective: masked_lm
train: {steps: 2, batch_size: 1}
output: {dir: masked}
EOF
expect 0 train "$dir/masked.yaml"
card=$dir/masked/last/README.md
has masked/last/README.md "pipeline_tag: fill-mask" "AutoModelForMaskedLM"
grep -q generate "$card" && fail "the card of masks has it generate"
(cd "$dir/masked/last" && eval "'$lorac' $(sed -n 's/^    lorac \(next .*\) TEXT$/\1/p' README.md) 'w30 [MASK]'") \
    >"$dir/out" 2>&1 || fail "as the card says: $(cat "$dir/out")"
finish
