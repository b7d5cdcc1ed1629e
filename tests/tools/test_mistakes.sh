#!/bin/sh
# What `lorac eval` tells of where it fails, from outside. What is promised:
#   - behind accuracy stand each label's precision, recall, F1 and support, and the pairs that are confused; --json has
#     them all; without labels there is none of it;
#   - --errors writes the rows that went wrong, and only those, with probabilities and log-likelihoods, as a table that
#     is read back; the calibration comes with it; the scores are the same as without;
#   - --errors where there are no labels, or no folder for the file, is an error before the work.
# usage: test_mistakes.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

printf 'text,label\nit shines,good\n"it ""sags"", so",bad\nwise,good\nloud,bad\nwarm,good\nflat,bad\n' >"$dir/table.csv"
cat >"$dir/run.yaml" <<YAML
recipe: 1
model: {path: $model, max_length: 64}
adapter: {rank: 2, alpha: 4}
data: {train: table.csv, valid: table.csv, labels: {map: {good: x, bad: q}}}
template: {prompt: '{text} is', completion: ' {label}'}
train: {steps: 2, batch_size: 2, threads: 1}
optimizer: {lr: 0.01}
eval: {metrics: [loss, accuracy]}
output: {dir: run}
YAML

value() { # KEY: its number in the JSON that was printed
    sed -n "s/.*\"$1\": \([-0-9.e]*\).*/\1/p" "$dir/out"
}

expect 0 eval "$dir/run.yaml"
has out "label                                    precision    recall        F1  support" "macro F1"
has out "confused: the label"
expect 0 eval "$dir/run.yaml" --json
json accuracy by_label precision recall f1 support confused answer rows
grep -q calibration "$dir/out" && fail "a calibration without probabilities"
accuracy=$(value accuracy)
expect 0 eval "$dir/run.yaml" --json --errors "$dir/wrong.csv"
json accuracy by_label confused calibration
[ "$(value accuracy)" = "$accuracy" ] || fail "--errors changes the accuracy"
head=line,label,answer,label_probability,answer_probability,label_log_likelihood,answer_log_likelihood,prompt
[ "$(head -n 1 "$dir/wrong.csv")" = "$head" ] || fail "the head: $(head -n 1 "$dir/wrong.csv")"
wrong=$(awk "BEGIN { printf \"%d\", 6 * (1 - $accuracy) + 0.5 }")
[ $(($(wc -l <"$dir/wrong.csv") - 1)) = "$wrong" ] || { fail "not $wrong wrong rows:"; cat "$dir/wrong.csv"; }
awk -F, 'NR > 1 && ($2 == $3 || $4 > $5 || $6 > $7 || $5 <= 0 || $5 > 1) { exit 1 }' "$dir/wrong.csv" ||
    { fail "a row that is right, or a label likelier than the answer:"; cat "$dir/wrong.csv"; }
printf 'text,label\n"it ""sags"", so",good\n"it ""sags"", so",bad\n' >"$dir/both.csv" # one of the two is wrong
expect 0 eval "$dir/run.yaml" --set data.valid="$dir/both.csv" --errors "$dir/both.out"
grep -qF '"it ""sags"", so is"' "$dir/both.out" || { fail "quotes:"; cat "$dir/both.out"; }
has out "calibration  "
refused 2 "--errors $dir/none/wrong.csv: its folder does not exist" eval "$dir/run.yaml" --errors "$dir/none/wrong.csv"
refused 1 "--errors: the answers are free text, no labels" eval "$dir/run.yaml" --unset data.labels.map \
    --set eval.metrics=[loss] --set 'template.completion=" {text}"' --errors "$dir/free.csv"
[ -e "$dir/free.csv" ] && fail "a table of no errors"
cp "$dir/table.csv" "$dir/kept.csv"
refused 1 "--errors $dir/table.csv: is a table of the recipe" eval "$dir/run.yaml" --errors "$dir/table.csv"
cmp -s "$dir/table.csv" "$dir/kept.csv" || fail "the table is replaced"
refused 1 "--by-label: the answers are free text, no labels" eval "$dir/run.yaml" --unset data.labels.map \
    --set eval.metrics=[loss] --set 'template.completion=" {text}"' --by-label
expect 0 eval "$dir/run.yaml" --set eval.metrics=[loss] --by-label
has out "label                                    precision"

# more labels than are shown
i=0
map=
echo "text,label" >"$dir/many.csv"
while [ $i -lt 12 ]; do
    echo "w$i,l$i" >>"$dir/many.csv"
    map="$map, l$i: l$i"
    i=$((i + 1))
done
many() { # more options
    expect 0 eval "$dir/run.yaml" --set "data.labels.map={${map#, }}" --set data.train="$dir/many.csv" \
        --set data.valid="$dir/many.csv" "$@"
}
many
has out "the labels that do worst" "(10 of 12 labels; --by-label shows all)"
many --by-label
[ "$(grep -c '^l[0-9]' "$dir/out")" -ge 12 ] || { fail "not every label:"; cat "$dir/out"; }
finish
