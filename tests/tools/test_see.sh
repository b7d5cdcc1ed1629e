#!/bin/sh
# The verbs that show what a model makes of a prompt, from outside. What is promised:
#   - next shows the likeliest tokens with the probabilities that the logits give, base and adapter side by
#     side behind the same tokens, in readable signs; blocks where the locale is UTF-8, '#' elsewhere;
#   - eval --shots evaluates behind rows of the training table, and names their lines;
#   - compare measures what eval does, trains only what is asked for and not done, and takes no run of
#     another recipe for this one's;
#   - --json prints one object on one line; wrong usage and bad input are one line on stderr.
# usage: test_see.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"
LC_ALL=C
export LC_ALL

# near A B TOLERANCE
near() {
    awk "BEGIN { d = ($1) - ($2); exit !(d < $3 && d > -$3) }" || fail "$1 is not $2"
}

a_run 4
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

# ---- eval --shots ----
expect 0 eval --help
has out "--shots K" "--shot-separator TEXT"
expect 0 eval "$dir/run.yaml" --split test --json
zero=$(cat "$dir/out")
expect 0 eval "$dir/run.yaml" --split test --shots 0 --json
[ "$(sed 's/, "seconds.*//' "$dir/out")" = "$(echo "$zero" | sed 's/, "seconds.*//')" ] ||
    fail "no shots are not the plain evaluation"
expect 0 eval "$dir/run.yaml" --split test --shots 4 --json
json split shots shot_lines shot_tokens left_out rows loss accuracy
[ "$(value shots) $(value left_out) $(value rows)" = "4 0 12" ] || fail "shots: $(cat "$dir/out")"
four=$(value loss)
lines=$(grep -o '"shot_lines": [^]]*]' "$dir/out")
# each label as often: the good ones stand on even lines; 1 + 4 (14 + 5 + 2) - 4 / 2 tokens
echo "$lines" | grep -o '[0-9]*' | awk '{ even += $1 % 2 == 0 } END { exit !(NR == 4 && even == 2) }' ||
    fail "unbalanced: $lines"
[ "$(value shot_tokens)" = 77 ] || fail "$(value shot_tokens) tokens of shots"
expect 0 eval "$dir/run.yaml" --split test --shots 4
grep -q "end-of-sequence" "$dir/err" && fail "behind shots no answer ends with it: $(cat "$dir/err")"
has out "$(echo "$lines" | sed 's/.*\[\(.*\)\]/4, 77 tokens (lines \1 of data.train)/')" "rows         12"
expect 0 eval "$dir/run.yaml" --split test --shots 4 --shot-separator '\n' --json
[ "$(value shot_tokens)" = 73 ] || fail "the separator: $(value shot_tokens) tokens of shots"
expect 0 eval "$dir/run.yaml" --split test --shots 4 --set seed=2 --json
echo "$(value loss)" | grep -qxF "$four" && fail "the seed does not choose the shots"
expect 0 eval "$dir/run.yaml" --split train --shots 4
has out "rows         5   (without the shots)"
expect 0 eval "$dir/run.yaml" --split test --shots 1
has out " tokens (line "
has err "note: 1 shot shows 1 of the 2 labels; --shots 2 shows each once"
expect 0 eval "$dir/runs/one" --split test --shots 2 --json
json adapter shots
refused 1 "10 shots are asked for, but only 9 rows can be one" eval "$dir/run.yaml" --shots 10
refused 1 "all 9 rows of data.train are shots" eval "$dir/run.yaml" --split train --shots 9
refused 1 "the separator holds the special token </s>" eval "$dir/run.yaml" --shots 2 --shot-separator '</s>'
refused 1 "the template has no prompt" eval "$dir/run.yaml" --shots 2 --unset template.prompt \
    --set 'template.completion="{text}"'
printf 'so it goes. %.0s' 1 2 3 4 5 6 7 8 9 >"$dir/story.txt"
refused 1 "story.txt is text, expected a table of examples" eval "$dir/run.yaml" --shots 2 \
    --split train --unset data.valid --unset data.test --unset template.prompt \
    --unset template.completion --set data.kind=text --set "data.train=$dir/story.txt" \
    --set 'eval.metrics=[loss]'
refused 1 "9 shots take" eval "$dir/run.yaml" --shots 9 --set model.max_length=200 \
    --shot-separator "$(awk 'BEGIN { for (i = 0; i < 100; i++) printf "-" }')"
refused 2 "--shots must be a whole number, 0 or more, found 'few'" eval "$dir/run.yaml" --shots few
refused 2 "--shot-separator separates shots: it needs --shots" eval "$dir/run.yaml" --shot-separator x
refused 2 "--shot-separator needs a text" eval "$dir/run.yaml" --shots 2 --shot-separator ''
refused 2 "expected \n, \t or \\\\ where a backslash stands" eval "$dir/run.yaml" --shots 2 \
    --shot-separator 'a\b'

# ---- compare ----
expect 0 compare --help
has out "usage: lorac compare" "--shots K" "--base DIR" "--train"
# level I KEY: of the I-th level in the JSON printed last
level() {
    grep -o '{"level": [^}]*}' "$dir/out" | sed -n "$1p" | grep -o "\"$2\": [^,}]*" | sed 's/.*: //'
}
expect 0 eval "$dir/run.yaml" --split test --json
zero=$(value loss)
expect 0 eval "$dir/run.yaml" --split test --shots 4 --json
four=$(value loss)
expect 0 eval "$dir/runs/one" --split test --json
tuned=$(value loss)
expect 0 compare "$dir/run.yaml" --json
json split levels
[ "$(value split)" = '"test"' ] || fail "compare on $(value split)"
[ "$(level 1 loss) $(level 2 loss) $(level 3 loss)" = "$zero $four $tuned" ] ||
    fail "compare and eval differ: $(cat "$dir/out")"
[ "$(level 1 shots) $(level 2 shots) $(level 3 shots)" = "0 4 0" ] || fail "not two shots a label"
[ "$(level 3 adapter)" = "\"$adapter\"" ] || fail "another adapter: $(level 3 adapter)"
[ "$(level 3 adapter_bytes)" = "$(wc -c <"$adapter/adapter_model.safetensors")" ] || fail "its size"
[ "$(level 3 trained_parameters)" = "$(sed -n 's/.*"parameters": \([0-9]*\),/\1/p' "$dir/runs/one/run.json")" ] ||
    fail "its parameters"
tail -n +2 "$dir/runs/one/metrics.csv" | awk -F, -v want="$(level 3 train_seconds)" '
    { sum += $NF } END { exit !(sum - want < 1e-6 && want - sum < 1e-6) }' || fail "its time"
expect 0 compare "$dir/run.yaml" --shots 3 --split valid
has out "3 rows of data.valid" "zero-shot " "few-shot, 3 " "adapted " "adapter $adapter" "always '" "trained parameters"
awk '!NF { part++ } part == 1 && length > n { n = length } END { exit !(n > 40 && n <= 78) }' "$dir/out" ||
    fail "the table does not fit a terminal: $(cat "$dir/out")"
cp "$dir/runs/one/run.json" "$dir/before"
cp -R "$model" "$dir/second"
expect 0 compare "$dir/run.yaml" --base "$dir/second/" # no run, and none is made
has out "adapted, other base" "$dir/runs/one-from-second holds no run; --train makes one"
[ -e "$dir/runs/one-from-second" ] && fail "compare makes a run that nobody asked for"
expect 0 compare "$dir/run.yaml" --base "$dir/second" --train --json
[ "$(level 4 loss)" = "$(level 3 loss)" ] || fail "the same run from the same base differs"
[ "$(level 4 model)" = "\"$dir/second\"" ] || fail "the other base is $(level 4 model)"
cmp -s "$dir/runs/one/run.json" "$dir/before" || fail "a finished run was trained again"
expect 1 compare "$dir/run.yaml" --set optimizer.lr=0.02
has err "optimizer.lr: 0.01 -> 0.02; --overwrite trains anew, --set output.dir=DIR elsewhere"
[ -s "$dir/out" ] && fail "compare prints although it fails"
expect 0 compare "$dir/run.yaml" --set optimizer.lr=0.02 --overwrite --json
grep -qF 'lr: 0.02' "$dir/runs/one/recipe.resolved.yaml" || fail "--overwrite did not train"
sed -i 's/"status": "finished"/"status": "stopped"/' "$dir/runs/one/run.json"
expect 0 compare "$dir/run.yaml" --set optimizer.lr=0.02 --json
has out '"missing": "'"$dir"'/runs/one holds an unfinished run; --train goes on with it"'
expect 0 compare "$dir/run.yaml" --set optimizer.lr=0.02 --train --split train
has out "few-shot, 4 " ", 5 rows without the shots" "adapter $adapter"
# a task without prompts has no shots; asked for, they are an error
expect 0 compare "$dir/run.yaml" --set "output.dir=$dir/free2" --unset template.prompt \
    --set 'template.completion="{text}"' --json
has out '"missing": "shots: the template has no prompt'
refused 1 "the template has no prompt" compare "$dir/run.yaml" --set "output.dir=$dir/free2" --shots 2 \
    --unset template.prompt --set 'template.completion="{text}"'
refused 1 "--base no/such: is no folder" compare "$dir/run.yaml" --set "output.dir=$dir/x" --base no/such
refused 1 "names no data.valid" compare "$dir/run.yaml" --set "output.dir=$dir/x" --unset data.test \
    --unset data.valid
refused 2 "--split must be train, valid or test" compare "$dir/run.yaml" --split dev
refused 2 "--shots must be at least 1" compare "$dir/run.yaml" --shots 0

finish
