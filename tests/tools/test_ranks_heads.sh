#!/bin/sh
# Heads, and tokens that are hidden, in several processes. What is promised:
#   - they train as one does, a decoder with adapters, and an encoder's head alone on rows that are kept: losses within
#     1e-6, whatever labels weigh, and whether a row has one, several, a number or tags;
#   - they evaluate and predict as one does, to the byte;
#   - a run of one process goes on with two, as if it had been one's;
#   - hidden tokens are the same ones, whoever hides them.
# usage: test_ranks_heads.sh LORAC MAKE_TINY MPIRUN
golden=$(cd "$(dirname "$0")/../golden" && pwd)
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/support_ranks.sh"

cat >bert.json <<END
{"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
 "max_position_embeddings": 40, "initializer_range": 0.2}
END
expect 0 init --config bert.json --tokenizer model --out encoder --seed 3
for o in classify multilabel regress tag; do
    echo text,y >$o.csv
done
for i in 1 2 3 4 5 6; do
    printf 'so %s warm,good\nso %s flat,bad\nso %s meh,fair\n' $i $i $i >>classify.csv
    printf 'so %s warm,good;warm\nso %s flat,bad\nso %s meh,warm\n' $i $i $i >>multilabel.csv
    printf 'so %s warm,%s.5\nso %s flat,-%s\nso %s meh,0\n' $i $i $i $i $i >>regress.csv
    printf 'so %s warm,O B-N I-N\nso %s flat,O O B-A\nso %s meh,O O O\n' $i $i $i >>tag.csv
done

# several N: as `ranks N`; of 1 the program itself
several() {
    lorac=$alone
    [ "$1" = 1 ] || ranks "$1"
}

# told RUN TABLE: what eval and predict make of it, in the file told; of many rows, so that each rank has some
told() {
    rm -f wrong.csv answers.csv
    { cat "$2" && for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sed "1d; s/so /so $i/" "$2"; done; } >many.csv
    expect 0 eval "runs/$1" --split test --set data.test=many.csv --errors wrong.csv
    cat out wrong.csv >told
    expect 0 predict "runs/$1" --in many.csv --out answers.csv
    cat answers.csv >>told
}

# as_one OBJECTIVE MODEL ADAPTER METRICS SETTINGS...
as_one() {
    o=$1
    cat >$o.yaml <<END
recipe: 1
model: {path: $2, max_length: 40}
adapter: $3
data: {train: $o.csv, valid: $o.csv, labels: y}
objective: $o
train: {epochs: 6, batch_size: 3, accumulate: 2, threads: 1}
optimizer: {lr: 0.01, schedule: constant, warmup: 0}
eval: {every: 1 epoch, metrics: [loss, $4]}
output: {dir: runs/one}
END
    shift 4
    rm -rf runs
    for n in 1 2 3; do
        several $n
        expect 0 train $o.yaml "$@" --set output.dir=runs/of$n
        near of1 of$n
    done
    told of1 $o.csv
    mv told told.3
    lorac=$alone
    told of1 $o.csv
    cmp told told.3 || { fail "$o: other answers of three"; diff told told.3; }
    expect 0 train $o.yaml "$@" --set train.epochs=4
    ranks 2
    expect 0 train $o.yaml "$@" --resume
    has err "2 ranks share the run now, and 1 did"
    near of1 one
}

weighs="objective.class_weights=balanced"
keeps="train.cache_frozen_prefix=on"
adapts="{rank: 2, alpha: 4, dropout: 0.1}"
as_one classify model "$adapts" "auc, matthews" --set $weighs --set objective.label_smoothing=0.1
as_one multilabel model "$adapts" "auc, precision" --set $weighs
as_one regress model "$adapts" "mse, spearman"
as_one tag model "$adapts" "entity_f1, macro_f1" --set $weighs
as_one classify encoder "{method: none}" "auc, matthews" --set $weighs --set $keeps
as_one multilabel encoder "{method: none}" "auc, precision" --set $keeps
as_one regress encoder "{method: none}" "mse, spearman" --set $keeps
as_one tag encoder "{method: none}" "entity_f1, macro_f1" --set $keeps

# hidden tokens
cp -r "$golden/models/bert-lm" masked
cp "$golden/masked/vocab.txt" "$golden/masked/tokenizer_config.json" masked
for i in 3 4 5 6 7 8 9; do
    echo "w1$i w2$i w$i w3$i w1$i w4$i w$i w2$i" >>text.txt
done
cat >masked.yaml <<END
recipe: 1
model: {path: masked, max_length: 12}
adapter: {rank: 2, alpha: 4}
data: {kind: text, train: text.txt, valid: text.txt}
objective: masked_lm
train: {epochs: 6, batch_size: 2, accumulate: 2, threads: 1}
optimizer: {lr: 0.01}
eval: {every: 1 epoch}
END
rm -rf runs
for n in 1 2 3; do
    several $n
    expect 0 train masked.yaml --set output.dir=runs/of$n
    near of1 of$n
done
finish
