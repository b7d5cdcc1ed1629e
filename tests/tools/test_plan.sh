#!/bin/sh
# The verbs plan, recipe init and diff, from outside. What is promised:
#   - plan tells modules, rows, steps and memory, marks what is trained, and opens no run; it takes a run's folder;
#   - recipe init writes a recipe that recipe check and plan take, and never over a file;
#   - diff ends with 0 for the same, 1 for different, 2 for what cannot be compared;
#   - --json prints one object on one line.
# usage: test_plan.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

i=0
echo "word,letter" >"$dir/table.csv"
while [ $i -lt 12 ]; do
    printf 'w%d,a\nx%d,b\n' $i $i >>"$dir/table.csv"
    i=$((i + 1))
done

# ---- recipe init ----
expect 2 recipe init --model "$dir/model"
expect 0 recipe init --model "$dir/model" --csv "$dir/table.csv" --out "$dir/mine.yaml"
has err "lorac plan $dir/mine.yaml"
has mine.yaml 'epochs: 16' 'lr: 0.005' '# parameters: about ' ' steps of '
has mine.yaml 'text: "word", label: "letter"' 'header: true'
has err "label     'letter': 2 values, the fewest that come again" "text      'word': the other column"
expect 0 recipe init --model "$dir/model" --csv "$dir/table.csv" --label word --text letter
has out 'text: "letter", answer: "word"'
refused 1 "--text: $dir/table.csv: no column 'wrd' (did you mean 'word'?)" recipe init --model "$dir/model" \
    --csv "$dir/table.csv" --text wrd
refused 2 "recipe check takes no --label" recipe check "$dir/mine.yaml" --label a
echo '{"messages": [{"role": "user", "content": "hi, you"}]}' >"$dir/chat.jsonl"
refused 1 "template: chat: $dir/model: brings no chat template" recipe init --model "$dir/model" \
    --csv "$dir/chat.jsonl"
for d in , ';' '\t' "','" '"\t"'; do # as typed, or as YAML
    expect 0 recipe check "$dir/mine.yaml" --set "data.format.delimiter=$d"
done
expect 0 recipe check "$dir/mine.yaml" --set 'data.format.delimiter=\t'
has out 'delimiter: "\t"'
expect 0 recipe check "$dir/mine.yaml"
expect 1 recipe init --model "$dir/model" --csv "$dir/table.csv" --out "$dir/mine.yaml"
has err "is there already"
expect 0 recipe init --model "$dir/model" --csv "$dir/table.csv"
cmp -s "$dir/out" "$dir/mine.yaml" || fail "standard output and the file differ"
expect 1 recipe init --model "$dir/model" --csv "$dir/missing.csv"
has err "missing.csv"

# ---- plan ----
expect 0 plan "$dir/mine.yaml"
has out "self_attn.q_proj" "mlp.down_proj" "memory    about" "optimiser moments" \
    "end-of-sequence in 100 %" "labels    2" '|:|[ ][a][</s>]'
has out "steps     80 (5.0 an epoch" "note: 80 steps are few to learn from; only more rows would give more"
expect 0 plan "$dir/mine.yaml" --set train.epochs=2
has out "note: 10 steps are few to learn from; try train.epochs: 16" "best      by accuracy (eval.best: auto)"
expect 0 plan "$dir/mine.yaml" --set train.epochs=2 --set optimizer.warmup=10
has out "note:     optimizer.warmup: 10 steps, and the run has only 10: it never reaches optimizer.lr"
expect 0 plan "$dir/mine.yaml" --set adapter.layers=last:1 --probe
has out "frozen    layer 0 runs once a row; what leaves it takes " "of memory (train.cache_frozen_prefix)" \
    "rows of frozen layers" "a step takes"
grep -q "validation rows" "$dir/out" && fail "rows are kept that labels are chosen for"
expect 0 plan "$dir/mine.yaml" --set adapter.layers=last:1 --json
json frozen_layers frozen_bytes frozen_on_disk frozen_valid_bytes "rows of frozen layers"
expect 0 plan "$dir/mine.yaml" --set adapter.layers=last:1 --set eval.metrics=[loss] --probe
has out " of memory, of validation rows " "a step takes"
expect 0 plan "$dir/mine.yaml" --set adapter.layers=last:1 --set eval.metrics=[loss] --set train.epochs=1 --set eval.every=2
has out "frozen    layer 0 runs once a validation row; what leaves it takes "
expect 0 plan "$dir/mine.yaml" --set adapter.layers=last:1 --set eval.metrics=[loss] --set eval.every=end
grep -q "validation rows" "$dir/out" && fail "rows are kept that are read once"
expect 0 plan "$dir/mine.yaml" --set adapter.layers=last:1 --set train.cache_frozen_prefix=off
grep -q "once a row" "$dir/out" && fail "frozen layers that run in every epoch"
refused 1 "train.cache_frozen_prefix: on has no effect: the embedding or a module of layer 0 is" \
    plan "$dir/mine.yaml" --set train.cache_frozen_prefix=on
told='--set template.prompt="a_or_b?_{text}:"'
expect 0 plan "$dir/mine.yaml" $told
has out "tokens of all rows are the same and run once a batch (train.share_prefix)"
expect 0 plan "$dir/mine.yaml" $told --unset train.batch_tokens --set train.batch_size=1 \
    --set train.share_prefix=on
grep -q "once a batch" "$dir/out" && fail "a row alone shares what it begins with"
little='--set template.prompt="a{text}{text}{text}{text}{text}{text}{text}{text}"'
expect 0 plan "$dir/mine.yaml" $little
grep -q "once a batch" "$dir/out" && fail "too little is shared to be worth a segment"
expect 0 plan "$dir/mine.yaml" $little --set train.share_prefix=on
has out "once a batch"
[ -e "$dir/runs" ] && fail "plan makes the folder of a run"
expect 0 plan "$dir/mine.yaml" --probe
has out "a step takes" "for the whole run"
expect 0 plan "$dir/mine.yaml" --json --probe
grep -q "holds a run" "$dir/out" && fail "a run is there before it began"
json parameters groups memory total available fits train valid p99 bars steps few_steps advice evaluations best_by seconds loss
ia3='--set adapter.method=ia3 --unset adapter.rank --unset adapter.alpha --unset adapter.dropout'
expect 0 plan "$dir/mine.yaml" $ia3
grep -q 'q_proj .* vector    - ' "$dir/out" || fail "IA3 has no rank: $(cat "$dir/out")"
expect 0 plan "$dir/mine.yaml" $ia3 --json
has out '"full": false, "parameters"'
expect 1 plan "$dir/mine.yaml" --set adapter.targets='[nothing]'
has err "nothing"
expect 1 plan "$dir/missing.yaml"

# ---- diff ----
"$lorac" train "$dir/mine.yaml" --set output.dir="$dir/a" >/dev/null 2>&1 || fail "training"
"$lorac" train "$dir/mine.yaml" --set output.dir="$dir/b" --set optimizer.lr=3e-4 >/dev/null 2>&1 ||
    fail "training"
expect 0 plan "$dir/mine.yaml" --set output.dir="$dir/a"
has out "output    $dir/a: holds a run already: go on with --resume"
cp -r "$dir/a" "$dir/moved" # of a run's folder: its own recipe, and where it is now
expect 0 plan "$dir/moved"
has out "output    $dir/moved: holds a run already: go on with --resume" "train     " "steps     "
refused 1 "model: is no run (it holds no recipe.resolved.yaml)" plan "$dir/model"
rm -r "$dir/moved"
expect 0 diff "$dir/a/best" "$dir/a/best"
has out "the same"
expect 1 diff "$dir/a/last" "$dir/b/last"
has out "different" "numbers differ" "lora_A.weight: up to"
expect 1 diff "$dir/a" "$dir/b"
has out "recipe:" "optimizer.lr: 0.005 -> 0.0003" "best/" "last/"
expect 1 diff "$dir/a" "$dir/b" --json
json recipe best last largest same
expect 0 diff "$dir/model" "$dir/model" --json
json same config tensors
cp -r "$dir/a/last" "$dir/c"
sed 's/"r": 8/"r": 9/' "$dir/a/last/adapter_config.json" >"$dir/c/adapter_config.json"
expect 1 diff "$dir/a/last" "$dir/c"
has out "r: 8 -> 9" "largest difference is 0"
expect 2 diff "$dir/a" "$dir/a/best"
has err "is a run"
expect 2 diff "$dir/a" "$dir/nowhere"
has err "nowhere: is no folder"

exit $failed
