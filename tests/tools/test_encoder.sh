#!/bin/sh
# Encoders at the verbs, from outside. What is promised:
#   - init makes a fresh one that is read again, and inspect shows it; bodies alone and classes with a head of labels, too;
#   - a model is called as the class that runs: that of its head, not that of the one for masked tokens;
#   - whatever would have it continue a text is refused by name, with what it is for;
#   - a tokenizer without a mask token is told where one is to be guessed (test_masked.sh: with one).
# usage: test_encoder.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

for type in bert roberta distilbert modernbert; do
    cat >"$dir/$type.json" <<EOF
{"model_type": "$type", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 24, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24,
 "max_position_embeddings": 40}
EOF
    expect 0 init --config "$dir/$type.json" --tokenizer "$model" --out "$dir/$type"
    expect 0 inspect "$dir/$type"
    has out "embeddings.weight" "layer"
    refused 1 "a $type is an encoder, whose tokens see their whole text: it continues none" \
        generate --model "$dir/$type" --prompt a
    for verb in "next --prompt a" "score --text $dir/$type.json" "score --ids 1,2,3"; do
        # shellcheck disable=SC2086 # its words
        refused 1 "a $type guesses tokens that are masked, and its tokenizer has no mask token" \
            ${verb%% *} --model "$dir/$type" ${verb#* }
    done
done

for class in BertModel LlamaModel RobertaForTokenClassification LlamaForSequenceClassification BertForPreTraining; do
    cat >"$dir/class.json" <<EOF
{"architectures": ["$class"], "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
 "intermediate_size": 24, "max_position_embeddings": 40, "id2label": {"0": "a", "1": "b", "2": "c"}}
EOF
    expect 0 init --config "$dir/class.json" --tokenizer "$model" --out "$dir/$class" --json
    case $class in BertForPreTraining) class=BertForMaskedLM ;; esac
    has out "\"architecture\": \"$class\""
done
cat >"$dir/head.yaml" <<EOF
recipe: 1
model: {path: $dir/BertModel}
data: {train: $dir/rows.csv, labels: label}
template: {prompt: "{text}"}
objective: classify
train: {steps: 1}
output: {dir: $dir/head}
EOF
printf 'text,label\na,b\nc,d\n' >"$dir/rows.csv"
expect 0 plan "$dir/head.yaml"
has out ", BertForSequenceClassification; computed in"
expect 0 train "$dir/head.yaml"
has err ", BertForSequenceClassification)"

says="a bert is an encoder, whose tokens see their whole text: it continues none; it is for objectives with a head"
refused 1 "$says" chat --model "$dir/bert" </dev/null
refused 1 "$says" prompt --model "$dir/bert" </dev/null
refused 1 "$says" serve --model "$dir/bert" --port 0
cat >"$dir/recipe.yaml" <<EOF
recipe: 1
model: {path: $dir/bert}
data: {train: $dir/rows.csv, columns: {text: text, label: label}}
template: {prompt: "{text}\n", completion: "{label}"}
train: {steps: 1}
output: {dir: $dir/run}
EOF
refused 1 "$says" train "$dir/recipe.yaml"
finish
