#!/bin/sh
# Chat data, from outside. What is promised:
#   - `template: chat` and `data.format: jsonl` train conversations: plan shows what is trained, the adapter brings the
#     chat template and is used with it by eval, predict, generate and chat; predict writes JSON lines again;
#   - labels are chosen through the chat template, too; a run that was stopped goes on to the same bytes;
#   - `recipe init` writes a recipe for conversations and for JSON lines;
#   - a short form is the same as the long one, in files, in what they extend, and with --set; what has no effect is refused.
# usage: test_chat_data.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

cat >"$model/chat_template.jinja" <<'EOF'
{%- for m in messages %}
    {{- '<s>' + m.role[0] + ':' + m.content + '</s>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<s>a:' }}{% endif %}
EOF
for i in 1 2 3 4 5 6 7 8; do
    echo '{"messages": [{"role": "user", "content": "q'$i'"}, {"role": "assistant", "content": "ef"}, {"role": "user", "content": "r"}, {"role": "assistant", "content": "cd"}]}'
done >"$dir/talk.jsonl"
cat >"$dir/talk.yaml" <<'EOF'
recipe: 1
model: {path: model, max_length: 64}
adapter: {rank: 4, alpha: 8}
data: {train: talk.jsonl, valid: {split: 0.25}, test: talk.jsonl, format: jsonl}
template: chat
train: {steps: 12, batch_size: 3, threads: 1}
optimizer: {lr: 0.05}
eval: {metrics: [loss, exact_match], every: 6 steps}
output: {dir: runs/talk, save_every: 4 steps}
EOF
expect 0 plan "$dir/talk.yaml"
has out 'example, line 2:' '<s>|u|:|q|2|</s>|<s>|a|:|[e][f][</s>]<s>|u|:|r|</s>|<s>|a|:|[c][d][</s>]' 'rows, '
[ "$(grep -c '^example' "$dir/out")" = 2 ] || fail "plan shows no two conversations"
expect 0 plan "$dir/talk.yaml" --set template.train_on=last
has out '<s>|u|:|q|2|</s>|<s>|a|:|e|f|</s>|<s>|u|:|r|</s>|<s>|a|:|[c][d][</s>]'

expect 0 train "$dir/talk.yaml"
run=$dir/runs/talk
has runs/talk/recipe.resolved.yaml 'kind: jsonl' 'kind: chat' 'train_on: assistant'
cmp -s "$model/chat_template.jinja" "$run/best/chat_template.jinja" || fail "the adapter brings no chat template"
has runs/talk/best/README.md 'chat_template.jinja, in this folder'
expect 0 eval "$run" --split test
has out 'exact match'

# ---- stopped and gone on with: the same bytes; with other data not at all ----
steady="--set optimizer.schedule=constant --set optimizer.warmup=0"
expect 0 train "$dir/talk.yaml" $steady --set output.dir="$dir/runs/whole"
expect 0 train "$dir/talk.yaml" $steady --set output.dir="$dir/runs/half" --set train.steps=8
sed 's/"ef"/"eg"/' "$dir/talk.jsonl" >"$dir/other.jsonl"
expect 1 train "$dir/talk.yaml" $steady --set output.dir="$dir/runs/half" --resume --set data.train="$dir/other.jsonl"
expect 1 train "$dir/talk.yaml" $steady --set output.dir="$dir/runs/half" --resume --set template.train_on=last
expect 0 train "$dir/talk.yaml" $steady --set output.dir="$dir/runs/half" --resume
cmp -s "$dir/runs/half/last/adapter_model.safetensors" "$dir/runs/whole/last/adapter_model.safetensors" ||
    fail "the run that was resumed differs"

# ---- predict ----
head -n 2 "$dir/talk.jsonl" >"$dir/ask.jsonl"
echo '{"id": 7, "messages": [{"role": "user", "content": "q1"}] }' >>"$dir/ask.jsonl"
expect 0 predict "$run" --in "$dir/ask.jsonl" --out "$dir/answers.jsonl"
[ "$(wc -l <"$dir/answers.jsonl")" = 3 ] || fail "predict: $(cat "$dir/answers.jsonl")"
grep -q '^{"messages": .*"cd"}\], "prediction": ".*"}$' "$dir/answers.jsonl" || fail "predict: $(cat "$dir/answers.jsonl")"
grep -q '^{"id": 7, "messages": \[{"role": "user", "content": "q1"}\], "prediction": ".*"}$' "$dir/answers.jsonl" ||
    fail "predict: $(cat "$dir/answers.jsonl")"
sed -n 3p "$dir/answers.jsonl" | sed 's/.*"prediction": "\(.*\)"}/\1/' >"$dir/want"
"$lorac" generate --model "$model" --adapter "$run/best" --prompt q1 --max-tokens 64 >"$dir/got" 2>"$dir/err"
cmp -s "$dir/want" "$dir/got" || fail "generate: $(cat "$dir/got" "$dir/err"), predict: $(cat "$dir/want")"
# the adapter's own form, whatever the model brings now
cp "$model/chat_template.jinja" "$dir/kept.jinja"
echo '{% for m in messages %}{{ m.content }}{% endfor %}' >"$model/chat_template.jinja"
"$lorac" generate --model "$model" --adapter "$run/best" --prompt q1 --max-tokens 64 >"$dir/got" 2>"$dir/err"
cmp -s "$dir/want" "$dir/got" || fail "generate, with another chat template: $(cat "$dir/got" "$dir/err")"
printf 'q1\n' | "$lorac" chat --model "$model" --adapter "$run/best" --max-tokens 64 >"$dir/got" 2>"$dir/err"
sed 1d "$dir/got" | cmp -s "$dir/want" - || fail "chat: $(cat "$dir/got" "$dir/err")"
expect 0 predict "$run" --in "$dir/ask.jsonl" --out "$dir/again.jsonl"
cmp -s "$dir/answers.jsonl" "$dir/again.jsonl" || fail "predict, with another chat template"
cp "$dir/kept.jinja" "$model/chat_template.jinja"
echo '{"messages": [{"role": "assistant", "content": "x"}]}' >"$dir/bad.jsonl"
refused 1 "shots: of conversations none are put in front" eval "$run" --shots 1
expect 0 compare "$dir/talk.yaml"
has out "of conversations none are put in front" adapted
refused 1 "line 1: message 1 of 1 is of the assistant" predict "$run" --in "$dir/bad.jsonl" --out "$dir/no.jsonl"

# ---- labels, columns of JSON lines, Alpaca's names ----
for i in 1 2 3 4 5 6; do
    echo '{"instruction": "so '$i' warm", "input": "", "output": "good"}'
    echo '{"instruction": "so '$i' flat", "input": "x", "output": "bad"}'
done >"$dir/label.jsonl"
sed 's/talk.jsonl, valid.*/label.jsonl, valid: {split: 0.25}, format: {kind: jsonl}, columns: {user: instruction, input: input, assistant: output}}/
     s/^template.*/template: {kind: chat, system: "Say."}/; s/exact_match/accuracy/; s/runs.talk/runs\/label/' "$dir/talk.yaml" >"$dir/label.yaml"
expect 0 train "$dir/label.yaml"
expect 0 plan "$dir/label.yaml"
has out "labels    2, of {assistant}"
expect 0 predict "$dir/runs/label" --in "$dir/label.jsonl" --out "$dir/labelled.jsonl"
grep -q '"output": "good", "prediction": "[a-z]*", "probability": [01]\.[0-9]*}$' "$dir/labelled.jsonl" ||
    fail "labels: $(head -n 1 "$dir/labelled.jsonl")"
expect 0 generate --model "$model" --adapter "$dir/runs/label/best" --prompt "so 1 warm" --labels
# `chat` begins with the system's words that the adapter was trained with, as generate does
"$lorac" generate --model "$model" --adapter "$dir/runs/label/best" --chat --raw --system "Say." --prompt hi --max-tokens 20 --temperature 2 >"$dir/want" 2>"$dir/err"
"$lorac" generate --model "$model" --adapter "$dir/runs/label/best" --chat --raw --prompt hi --max-tokens 20 --temperature 2 >"$dir/other" 2>"$dir/err"
cmp -s "$dir/want" "$dir/other" && fail "the system's words change nothing"
printf 'hi\n' | "$lorac" chat --model "$model" --adapter "$dir/runs/label/best" --max-tokens 20 --temperature 2 >"$dir/got" 2>"$dir/err"
sed 1d "$dir/got" | cmp -s "$dir/want" - || fail "chat: $(cat "$dir/got" "$dir/err"), expected $(cat "$dir/want")"

# ... and as `score` does
echo '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so"}]' >"$dir/said.json"
sed 's/^\[/[{"role": "system", "content": "Say."}, /' "$dir/said.json" >"$dir/told.json"
expect 0 score --model "$model" --adapter "$dir/runs/label/best" --chat "$dir/told.json" --json
cp "$dir/out" "$dir/want"
json tokens all_tokens nll
expect 0 score --model "$model" --adapter "$dir/runs/label/best" --chat "$dir/said.json" --json
cmp -s "$dir/want" "$dir/out" || fail "score: $(cat "$dir/out"), expected $(cat "$dir/want")"

# ---- recipe init ----
expect 0 recipe init --model "$model" --csv "$dir/talk.jsonl" --out "$dir/guess.yaml"
has guess.yaml 'format: jsonl' 'messages: "messages"' 'template: chat'
expect 0 plan "$dir/guess.yaml"
expect 0 recipe init --model "$model" --csv "$dir/label.jsonl" --out "$dir/guess2.yaml"
has guess2.yaml 'format: jsonl' '"output"'
expect 0 plan "$dir/guess2.yaml"

# ---- short forms, and what has no effect ----
printf 'extends: talk.yaml\ntemplate: {train_on: last}\n' >"$dir/more.yaml"
expect 0 recipe check "$dir/more.yaml"
expect 0 plan "$dir/more.yaml"
has out '|e|f|</s>|<s>|u|:|r|</s>|<s>|a|:|[c][d][</s>]'
expect 0 recipe check "$dir/talk.yaml" --set data.format=jsonl --set template=chat
refused 1 "data.format.kind: must be 'csv' or 'jsonl', found 'json'" recipe check "$dir/talk.yaml" --set data.format=json
refused 1 "data.format.delimiter: has no effect with data.format: jsonl" recipe check "$dir/talk.yaml" \
    --set 'data.format.delimiter=;'
refused 1 "template.train_on: must be 'assistant' or 'last' with template: chat" recipe check "$dir/talk.yaml" \
    --set template.train_on=all
refused 1 "template.date: must be a day as 2026-11-29, found '2026-13-01'" recipe check "$dir/talk.yaml" \
    --set template.date=2026-13-01
refused 1 "holds JSON lines, objects with 'messages'; data.format: jsonl reads JSON lines" plan "$dir/talk.yaml" \
    --set data.format=csv
rm "$model/chat_template.jinja"
refused 1 "template: chat: $model: brings no chat template" plan "$dir/talk.yaml"
finish
