#!/bin/sh
# The verb predict, from outside. What is promised:
#   - a table comes from a file or standard input and goes to a file or standard output, as it is but for the answers;
#   - its delimiter may be another than the recipe's, which is told; so are blank lines and cells;
#   - one text is answered with the likeliest labels and their probabilities;
#   - what a signal stopped says how to go on, and going on ends with the same table;
#   - options that do not go together are wrong usage.
# usage: test_predict.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

a_run 1 "$(for i in 1 2 3 4; do printf 'so %s warm,good\nso %s flat,bad\nso %s odd,"fair, even"\n' $i $i $i; done)"
expect 0 train "$dir/run.yaml"
run=$dir/runs/one

# ---- one text ----
expect 0 predict "$run" --text "so 1 warm"
[ "$(wc -l <"$dir/out")" = 3 ] || fail "not three labels: $(cat "$dir/out")"
has out "fair, even" "good" "bad"
sort -r "$dir/out" | cmp -s - "$dir/out" || fail "the likeliest is not first: $(cat "$dir/out")"
awk '{ s += $1 } END { exit !(s > 0.9998 && s < 1.0002) }' "$dir/out" || fail "probabilities: $(cat "$dir/out")"
best=$(sed -n '1s/^[0-9.]*  //p' "$dir/out")
expect 0 predict "$run" --text "so 1 warm" --top 1
has out "(the other 2)"
expect 0 predict "$run" --text "so 1 warm" --json
json prediction probability top label log_likelihood
[ "$(value prediction)" = "\"$best\"" ] || [ "$best" = "fair, even" ] || fail "JSON says $(value prediction), not $best"
printf 'so 1 warm\n' | "$lorac" predict "$run" --text - --json >"$dir/piped" 2>"$dir/err"
cmp -s "$dir/piped" "$dir/out" || fail "--text - differs from the text"
expect 0 predict "$run" --text '' --field "text=so 1 warm" --json
cmp -s "$dir/piped" "$dir/out" || fail "--field differs from --text"
refused 1 "{text} is blank" predict "$run" --text ' '
refused 1 "leaves no place for --text: --field fills all" predict "$run" --text a --field text=b
refused 1 "--field txt=a: the recipe's template has no such variable" predict "$run" --text a --field txt=a
expect 0 predict "$dir/run.yaml" --text a --set template.completion='" {label} {text}"' --max-tokens 3
has err "note: the base answers, as it is: $dir/run.yaml is a recipe"

# ---- one of the labels, and nothing else ----
expect 0 generate --model "$model" --adapter "$run/last" --prompt "so 1 warm" --labels
[ "$(cat "$dir/out")" = "$best" ] || fail "generate --labels says $(cat "$dir/out"), predict $best"
expect 0 generate --model "$model" --adapter "$run/last" --prompt "so 1 warm" --labels --json
json text probability top label prompt_tokens
[ "$(sed 's/.*"top": //; s/, "prompt_tokens.*//' "$dir/out")" = "$(sed 's/.*"top": //; s/}$//' "$dir/piped")" ] ||
    fail "two answers: $(cat "$dir/out" "$dir/piped")"
refused 2 "--temperature has no effect with --labels" generate --model "$model" --adapter "$run/last" --prompt a \
    --labels --temperature 1
refused 2 "--max-tokens has no effect with --labels" generate --model "$model" --prompt a --labels --max-tokens 3
refused 1 "--labels needs an --adapter that lorac trained" generate --model "$model" --prompt a --labels
expect 0 train "$dir/run.yaml" --set 'template.completion="{text}"' --set "output.dir=$dir/free"
refused 1 "was trained on free text and has no labels" generate --model "$model" --adapter "$dir/free/last" --prompt a \
    --labels

# ---- tables ----
printf '\357\273\277id;text\r\n1;"so; so"\r\n\r\n2;"a ""b"" "\r\n3;so' >"$dir/new.csv"
expect 0 predict "$run" --in "$dir/new.csv" --out "$dir/answers.csv" --top 2
has err "3 rows written to $dir/answers.csv" "has ';' between its cells, not data.format.delimiter's ','" \
    "note: $dir/new.csv: 1 blank line is no row, and left out"
head -c 3 "$dir/answers.csv" | cmp -s - "$dir/new.csv" 2>/dev/null
[ "$(head -c 3 "$dir/answers.csv" | od -An -tx1)" = " ef bb bf" ] || fail "the byte order mark is gone"
[ "$(tr -cd '\r' <"$dir/answers.csv" | wc -c)" = 4 ] || fail "line ends changed"
grep -qF 'id;text;prediction;probability;prediction_2;probability_2' "$dir/answers.csv" || fail "columns"
grep -qE '^2;"a ""b"" ";(good|bad|fair, even);0\.[0-9]{4};' "$dir/answers.csv" || fail "cells: $(cat "$dir/answers.csv")"
# lone quotes pair up across rows: told, for rows seem to be missing
printf 'text,label\n"so 1,x\nso 2",x\nso 3,x\n' >"$dir/lone.csv"
expect 0 predict "$run" --in "$dir/lone.csv" --out "$dir/lone.out"
has err "note: $dir/lone.csv: 1 cell with lines and delimiters, the first in line 2; lone quotes need data.format.quote: ''"
# an empty line of one column is a row as any other
printf 'text\nso 1\n\nso 3\n\n' >"$dir/one.csv"
refused 1 "one.csv:3: column 'text' is blank" predict "$run" --in "$dir/one.csv" --out "$dir/one.out"
expect 0 predict "$run" --in "$dir/one.csv" --out "$dir/one.out" --set data.on_empty=skip
[ "$(wc -l <"$dir/one.out")" = "$(wc -l <"$dir/one.csv")" ] || fail "rows are gone: $(cat "$dir/one.out")"
# an optional part may be blank, in training, in a table and in one text
printf 'text,note,label\nso 1,,good\nso 2,b,bad\nso 3,,good\nso 4,d,bad\nso 5,,good\nso 6,f,bad\nso 7,,good\nso 8,h,bad\n' \
    >"$dir/notes.csv"
set -- --set "data.train=$dir/notes.csv" --set 'template.prompt="{text}{?note} ({note}){/note} is"'
expect 0 train "$dir/run.yaml" "$@" --set "output.dir=$dir/notes"
expect 0 predict "$dir/notes" --in "$dir/notes.csv" --out "$dir/notes.out"
[ "$(wc -l <"$dir/notes.out")" = 9 ] || fail "optional parts: $(cat "$dir/notes.out")"
grep -qF "blank" "$dir/err" && fail "an optional part is no blank cell: $(cat "$dir/err")"
expect 0 predict "$dir/notes" --text "so 1" --json
prompt=$(value log_likelihood)
expect 0 predict "$dir/notes" --text "so 1" --field note= --json
[ "$(value log_likelihood)" = "$prompt" ] || fail "no note and a blank one differ"
expect 0 predict "$dir/notes" --text "so 1" --field note=b --json
[ "$(value log_likelihood)" = "$prompt" ] && fail "a note makes no difference"
expect 0 generate --model "$model" --adapter "$dir/notes/last" --prompt "so 1" --max-tokens 2
"$lorac" predict "$run" --in - --out - --top 2 <"$dir/new.csv" >"$dir/out" 2>"$dir/err"
cmp -s "$dir/out" "$dir/answers.csv" || fail "through pipes it is another table"
has err "3 rows written to standard output" "note: standard input has ';'"
expect 0 predict "$run" --in "$dir/new.csv" --out "$dir/json.csv" --json --top 9
json rows resumed stopped empty unasked cut silent unwritten blank_lines delimiter out
printf 'text\nso\nperch\351\n' >"$dir/latin.csv"
refused 1 "; of this table alone: --encoding latin-1" predict "$run" --in "$dir/latin.csv" --out "$dir/latin.out"
expect 0 predict "$run" --in "$dir/latin.csv" --out "$dir/latin.out" --encoding latin-1
has err "note: $dir/latin.csv is latin-1; what is written is utf-8"
grep -q "^$(printf 'perch\303\251'),[gbf]" "$dir/latin.out" || fail "latin-1: $(cat "$dir/latin.out")"
printf '\377\376t\0e\0x\0t\0\r\0\n\0s\0o\0\r\0\n\0' >"$dir/wide.csv"
expect 0 predict "$run" --in "$dir/wide.csv" --out "$dir/wide.out"
has err "note: $dir/wide.csv is utf-16; what is written is utf-8"
grep -q "^so,[gbf]" "$dir/wide.out" || fail "utf-16: $(cat "$dir/wide.out")"
refused 2 "--encoding must be utf-8, latin-1, windows-1252 or utf-16, found 'latin1'" predict "$run" --in a --out b \
    --encoding latin1
printf 'text\nso\n""\n' >"$dir/gap.csv"
refused 1 "gap.csv:3: column 'text' is blank, expected text (data.on_empty: keep asks all the same, skip leaves" \
    predict "$run" --in "$dir/gap.csv" --out "$dir/gap.out"
expect 0 predict "$run" --in "$dir/gap.csv" --out "$dir/gap.out" --set data.on_empty=skip
has err "note: 1 row without an answer: a blank cell in the prompt (data.on_empty: skip)"
[ "$(sed -n 3p "$dir/gap.out")" = '"",,' ] || fail "a row without an answer: $(cat "$dir/gap.out")"
expect 0 predict "$run" --in "$dir/gap.csv" --out "$dir/gap.kept" --set data.on_empty=keep
expect 0 predict "$run" --text '' --set data.on_empty=keep --top 1
grep -q '^[01][.].*  '"$(sed -n '3s/^"",\(.*\),.*/\1/p' "$dir/gap.kept")"'$' "$dir/out" ||
    fail "a blank text: $(cat "$dir/out" "$dir/gap.kept")"

# ---- stopped, and gone on with ----
{ echo "text,n" && i=0 && while [ $i -lt 4000 ]; do echo "so $i it goes,$i" && i=$((i + 1)); done; } >"$dir/many.csv"
expect 0 predict "$run" --in "$dir/many.csv" --out "$dir/whole.csv"
for signal in INT:130 TERM:143 HUP:129; do
    code=${signal#*:}
    rm -f "$dir/some.csv" "$dir"/some.csv.part*
    "$lorac" predict "$run" --in "$dir/many.csv" --out "$dir/some.csv" --set 'name=it is' >"$dir/out" 2>"$dir/err" &
    n=0
    # more than the header: rows are answered, and written, in groups
    until [ "$(wc -l <"$dir/some.csv.part" 2>/dev/null || echo 0)" -gt 1 ] || [ $n = 600 ]; do
        n=$((n + 1)) && sleep 0.05
    done
    kill "-${signal%:*}" $!
    wait $!
    got=$?
    [ $got = $code ] || fail "a signal stopped a prediction: exit code $got, expected $code"
    [ -e "$dir/some.csv" ] && fail "a stopped prediction left a table"
    grep -qE '^stopped after [0-9,]+ of 4,000 rows; they are kept in ' "$dir/err" || { fail "stopped:"; cat "$dir/err"; }
    grep -qxF "  lorac predict $run --in $dir/many.csv --out $dir/some.csv --set 'name=it is' --resume" "$dir/err" ||
        fail "how to go on: $(cat "$dir/err")"
done
refused 1 "some.csv.part: holds the rows of a prediction that was stopped; go on with it with --resume" predict "$run" \
    --in "$dir/many.csv" --out "$dir/some.csv"
refused 1 "holds answers of another model, adapter, recipe or table" predict "$run" --base --in "$dir/many.csv" \
    --out "$dir/some.csv" --resume
expect 0 predict "$run" --in "$dir/many.csv" --out "$dir/some.csv" --resume --json
[ "$(value resumed)" -gt 0 ] && [ "$(value rows)" = 4000 ] || fail "gone on: $(cat "$dir/out")"
cmp -s "$dir/some.csv" "$dir/whole.csv" || fail "gone on, it is another table"
ls "$dir"/some.csv.part* 2>/dev/null && fail "a part is left"
refused 1 "some.csv.part: is not there: no prediction into" predict "$run" --in "$dir/many.csv" \
    --out "$dir/some.csv" --resume --overwrite

# ---- usage ----
refused 2 "predict needs either --in FILE and --out FILE, or --text TEXT" predict "$run"
refused 2 "predict needs either --in FILE and --out FILE, or --text TEXT" predict "$run" --in a --text b
refused 2 "--in needs --out FILE, too" predict "$run" --in a
refused 2 "--out is for a table (--in), not for --text" predict "$run" --text a --out b
refused 2 "--resume is for a table (--in), not for --text" predict "$run" --text a --resume
refused 2 "--field is for --text: a table has columns" predict "$run" --in a --out b --field x=y
refused 2 "--top must be at least 1" predict "$run" --text a --top 0
refused 2 "--top and --scores exclude each other" predict "$run" --text a --top 2 --scores
expect 0 predict "$run" --text 'so so' --scores
[ "$(wc -l <"$dir/out")" = 3 ] || fail "all labels: $(cat "$dir/out")"
refused 2 "--max-tokens must be at least 1" predict "$run" --text a --max-tokens 0
refused 2 "--out - and --json exclude each other" predict "$run" --in a --out - --json
refused 2 "--out - and --resume exclude each other" predict "$run" --in a --out - --resume

finish
