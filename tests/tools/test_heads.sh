#!/bin/sh
# What a head answers, from outside. What is promised:
#   - eval and predict say the same of the same rows: labels, several labels, numbers, tags;
#   - eval tells each label, or kind of entity, the commonest answer, and the rows that went wrong;
#   - compare sets a head beside label texts, plan and runs know its metrics;
#   - a metric that the rows do not tell is told to be missing; perplexity is none of a head's, of its steps neither;
#   - what a head does not have is refused; what it cannot measure is refused where it would decide, else said.
# usage: test_heads.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

printf 'text,y\n' >"$dir/one.csv"
printf 'text,y\n' >"$dir/several.csv"
printf 'text,y\n' >"$dir/number.csv"
printf 'text,y\n' >"$dir/tags.csv"
for i in 1 2 3 4 5 6; do
    printf 'so %s warm,good\nso %s flat,bad\n' $i $i >>"$dir/one.csv"
    printf 'so %s warm,good;warm\nso %s flat,bad\n' $i $i >>"$dir/several.csv"
    printf 'so %s warm,%s.5\nso %s flat,-%s\n' $i $i $i $i >>"$dir/number.csv"
    printf 'so %s warm,O B-N I-N\nso %s flat,O O B-A\n' $i $i >>"$dir/tags.csv"
done
# recipe NAME OBJECTIVE METRICS: NAME.yaml, and a run of it
recipe() {
    cat >"$dir/$1.yaml" <<END
recipe: 1
model: {path: model, max_length: 40}
adapter: {rank: 2, alpha: 4}
data: {train: $1.csv, valid: $1.csv, labels: y}
template: {prompt: '{text}'}
objective: $2
train: {epochs: 4, batch_size: 3, threads: 1}
optimizer: {lr: 0.02}
eval: {every: end, metrics: [$3]}
output: {log: [terminal, csv, tensorboard]}
END
    expect 0 train "$dir/$1.yaml"
    awk -F, '$5 == "" { n++ } END { exit NR < 2 || n != NR - 1 }' "$dir/runs/$1/metrics.csv" ||
        fail "perplexity: $(head -n 2 "$dir/runs/$1/metrics.csv")"
    grep -qa "train/loss" "$dir/runs/$1/"events* || fail "no events of $1"
    grep -qa "train/perplexity" "$dir/runs/$1/"events* && fail "$1 has a perplexity"
    expect 0 predict "$dir/runs/$1" --in "$dir/$1.csv" --out "$dir/$1.out" --overwrite
    expect 0 eval "$dir/runs/$1" --json
}
# near A B: equal to five digits
near() {
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 0.00002 && d > -0.00002) }' || fail "$1 is not $2"
}

recipe one classify "loss, accuracy, macro_f1, matthews, auc"
json accuracy macro_f1 matthews auc auc_labels majority by_label confused calibration
[ "$(head -n 1 "$dir/one.out")" = text,y,prediction,probability ] || fail "$(head -n 1 "$dir/one.out")"
near "$(awk -F, 'NR > 1 { n++; right += $2 == $3 } END { print right / n }' "$dir/one.out")" "$(value accuracy)"
near "$(value majority)" 0.5
grep -q ',matthews,auc$' "$dir/runs/one/metrics.csv" || fail "$(head -n 1 "$dir/runs/one/metrics.csv")"
expect 0 eval "$dir/runs/one" --errors "$dir/wrong.csv"
has out "(of 2 labels; always 'bad' would be 0.5000)" "Matthews " "AUC " "precision" "calibration"
has wrong.csv "line,label,answer,label_probability,answer_probability,"
expect 0 predict "$dir/runs/one" --text "so 1 warm" --json
json prediction probability top
expect 0 runs "$dir/runs" --metric matthews
has out matthews one
expect 0 plan "$dir/one.yaml"
has out "bad" "good" "score"

recipe several multilabel "loss, accuracy, micro_f1, precision, recall"
json accuracy micro_f1 by_label
near "$(awk -F, 'NR > 1 { n++; right += $2 == $3 } END { print right / n }' "$dir/several.out")" "$(value accuracy)"
expect 0 predict "$dir/runs/several" --in "$dir/several.csv" --out "$dir/scores.out" --scores
[ "$(head -n 1 "$dir/scores.out")" = text,y,prediction,probability,prediction_2,probability_2,prediction_3,probability_3 ] ||
    fail "$(head -n 1 "$dir/scores.out")"
expect 0 eval "$dir/runs/several" --set eval.threshold=0.0
has out "recall       1.0000"
grep -q '^note: ' "$dir/err" && fail "eval.threshold has an effect: $(cat "$dir/err")"
expect 0 eval "$dir/runs/several" --set objective.class_weights=balanced
has err "note: --set objective.class_weights has no effect on eval: only training reads it"
expect 0 eval "$dir/runs/several" --errors "$dir/wrong.csv"
has out "(rows with exactly their labels)" "label  "
has wrong.csv "line,wanted,answer,prompt"

recipe number regress "loss, mse, pearson, r2"
json mse pearson r2 mean_mse
near "$(awk -F, 'NR > 1 { n++; s += ($2 - $3) ^ 2 } END { print s / n }' "$dir/number.out" |
    awk '{ printf "%.5f", $1 }')" "$(value mse | awk '{ printf "%.5f", $1 }')"
expect 0 eval "$dir/runs/number" --errors "$dir/wrong.csv"
has out "(always the training rows' mean, 0.25, would be "
[ "$(wc -l <"$dir/wrong.csv")" = 13 ] || fail "not all numbers"
awk -F, 'NR > 1 { e = $4 < 0 ? -$4 : $4; if (NR > 2 && e > last + 1e-6) exit 1; last = e }' "$dir/wrong.csv" ||
    fail "not the farthest off first"

recipe tags tag "loss, accuracy, entity_f1, precision, recall"
json accuracy entity_f1 precision recall by_label
[ "$(awk -F, 'NR == 2 { print split($3, t, " ") }' "$dir/tags.out")" = 3 ] || fail "not a tag a word"
near "$(awk -F, 'NR > 1 { n = split($2, a, " "); split($3, b, " "); for (i = 1; i <= n; i++) { all++; right += a[i] == b[i] } }
    END { print right / all }' "$dir/tags.out")" "$(value accuracy)"
long=$(awk 'BEGIN { for (i = 1; i <= 60; i++) printf "so%s", i < 60 ? " " : "" }')
for cuts in truncate_prompt truncate_end; do
    expect 0 predict "$dir/runs/tags" --set data.on_too_long=$cuts --text "$long"
    [ "$(wc -w <"$dir/out")" = 60 ] || fail "not a tag for each of 60 words: $(cat "$dir/out")"
    has err "note: the prompt lost 141 tokens to model.max_length"
    case $cuts in
    *prompt) grep -qE '^(_ )+[^_]+$' "$dir/out" || fail "$(cat "$dir/out")" ;;
    *) grep -qE '^[^_]+( _)+$' "$dir/out" || fail "$(cat "$dir/out")" ;;
    esac
done
expect 0 eval "$dir/runs/tags"
has out "(of 36 words, " "entity F1" "N  " "A  "

# ---- words of an adapter that PEFT trained, which tells no template ----
cp -r "$dir/runs/tags/best" "$dir/foreign" # best: the only evaluation is at the end
LC_ALL=C sed -i 's/lorac\.template/other.template/' "$dir/foreign/adapter_model.safetensors"
expect 0 eval "$dir/tags.yaml" --adapter "$dir/runs/tags/best"
grep -q "behind a space" "$dir/err" && fail "lorac trained it: $(cat "$dir/err")"
expect 0 eval "$dir/tags.yaml" --adapter "$dir/foreign"
has err "note: $dir/foreign was not trained with lorac, which reads each word as behind a space"
words=$(cd "$(dirname "$0")/../golden/masked" && pwd) # WordPiece
expect 0 init --out "$dir/pieces" --arch bert --tokenizer "$words" --hidden-size 16 --num-hidden-layers 1 \
    --num-attention-heads 2 --intermediate-size 24
expect 0 plan "$dir/tags.yaml" --set "model.path=$dir/pieces"
grep -q "behind a space" "$dir/out" && fail "WordPiece reads it alike: $(cat "$dir/out")"

# ---- of rows that do not tell a metric ----
printf 'text,y\nso 1 warm,good\n' >"$dir/row.csv"
expect 0 eval "$dir/runs/one" --split test --set "data.test=$dir/row.csv"
has err "note: AUC is not measured: it needs rows with a label and rows without it"
printf 'text,y\nso 1 warm,2\nso 2 warm,2\n' >"$dir/row.csv"
expect 0 eval "$dir/runs/number" --split test --set "data.test=$dir/row.csv"
has err "note: R2 is not measured: it needs wanted numbers that differ" "note: Pearson is not measured"

# ---- planned ----
for name in several number tags; do
    expect 0 plan "$dir/$name.yaml"
    grep -q "TiB\|end-of-sequence" "$dir/out" && fail "$name: $(grep "TiB\|end-of-sequence" "$dir/out")"
done
has out "labels    4, of {y}; words that have each" "train     12 rows, " ", 36 words with a tag" \
    "<s>|[ ]s|o|[ ]1|[ ]w|a|r|m|" "  -> 'O', 'B-N', 'I-N'"
has out "note:     words are read as behind a space"
expect 0 plan "$dir/several.yaml" --json
json labels
has out '{"label": "warm", "train": 6, "valid": 6}'
expect 0 plan "$dir/number.yaml" --json
json numbers mean deviation
expect 0 plan "$dir/number.yaml"
has out "numbers   {y}: mean 0.25, deviation 4.12" "  -> 1.5"
expect 0 plan "$dir/several.yaml"
has out "modules, 1 tensor in full, " "<s>|s|o| |1| |w|a|r|m|" "  -> 'good', 'warm'"
grep -q "trained$" "$dir/out" && fail "no token of a head's text is trained: $(grep "trained$" "$dir/out")"

# ---- refused ----
refused 1 "has no module 'score' of the head, and no adapter brings it" eval "$dir/one.yaml"
refused 1 "has no module 'score' of the head" predict "$dir/one.yaml" --text a
refused 1 "shots: a head reads one text, and no examples" eval "$dir/runs/one" --shots 2
refused 1 "shots: a head reads one text, and no examples" compare "$dir/one.yaml" --shots 2
refused 1 "--by-label: the answers are numbers" eval "$dir/runs/number" --by-label
for run in number tags; do # a head writes nothing
    expect 0 predict "$dir/runs/$run" --text "so 1 warm" --json
    json prediction cut
    grep -q '"finish"\|"tokens"' "$dir/out" && fail "a head that writes: $(cat "$dir/out")"
done
refused 1 "--scores: the answers are numbers" predict "$dir/runs/number" --text a --scores
refused 1 "--max-tokens: the answers are a head's" predict "$dir/runs/number" --text a --max-tokens 3
expect 0 predict "$dir/runs/one" --text "$(printf 'so%.0s ' $(seq 60))" --json
[ "$(value cut)" -gt 0 ] || fail "a text that is cut: $(cat "$dir/out")"
refused 1 "--scores: the answers are tags, one a word" predict "$dir/runs/tags" --text a --scores
sed 's/B-N/ADJ/; s/I-N/NOUN/; s/B-A/VERB/' "$dir/tags.csv" >"$dir/speech.csv"
refused 1 "eval.best is entity_f1, but not all tags are of entities" train "$dir/tags.yaml" --set eval.best=entity_f1 \
    --set "data.train=$dir/speech.csv" --set "data.valid=$dir/speech.csv" --set "output.dir=$dir/speech"
refused 1 "eval.best is precision, but not all tags are of entities" train "$dir/tags.yaml" --set eval.best=precision \
    --set "data.train=$dir/speech.csv" --set "data.valid=$dir/speech.csv" --set "output.dir=$dir/speech"
sed "s/tags.csv/speech.csv/g" "$dir/tags.yaml" >"$dir/speech.yaml"
printf 'sweep: 1\nrecipe: speech.yaml\nobjective: {metric: entity_f1}\nvary: {seed: [1, 2]}\ndir: sweep\n' >"$dir/sweep.yaml"
refused 1 "objective: entity_f1 is not measured: not all tags are of entities" sweep "$dir/sweep.yaml"
printf 'text,y\nsee,a\nsea,b\nsay,c\nsaw,a\nsow,b\nsew,c\n' >"$dir/three.csv"
sed 's/one.csv/three.csv/g' "$dir/one.yaml" >"$dir/three.yaml"
printf 'sweep: 1\nrecipe: three.yaml\nvary: {eval.threshold: [0.5, 0.7]}\ndir: sweep\n' >"$dir/sweep.yaml"
refused 1 "eval.threshold: 0.7 has no effect: it chooses between two labels" sweep "$dir/sweep.yaml"
expect 0 train "$dir/speech.yaml" --set "output.dir=$dir/speech"
has err "best by accuracy" "not all tags are of entities (B-NAME, I-NAME, O), so entity_f1, precision and recall are not"

# ---- a head beside label texts on the same rows ----
expect 0 compare "$dir/one.yaml"
has out "the base has no head for these labels" "a head reads one text" "adapted" "always 'bad'"
sed 's/labels: y/columns: {text: text, y: y}/; s/objective: .*//; s/{text}.}/{text} is'"'"', completion: '"' {y}'"'}/; s/, matthews, auc//' \
    "$dir/one.yaml" >"$dir/texts.yaml"
expect 0 train "$dir/texts.yaml"
expect 0 runs "$dir/runs/one" "$dir/runs/texts" --metric accuracy
has out one texts
grep -q '^? not compared' "$dir/out" && fail "a head and label texts are not compared: $(cat "$dir/out")"
expect 0 plan "$dir/one.yaml" --set model.compute=int8
has out "int8 approximates the base; by how much, eval tells"
expect 0 plan "$dir/one.yaml"
grep -q approximates "$dir/out" && fail "float32 approximates nothing"
finish
