#!/bin/sh
# The verb embed, from outside. What is promised:
#   - a vector for each row of CSV or JSON lines, of length 1 unless asked otherwise, in the order of the rows, the same
#     in both forms of output;
#   - what is cut or blank is told; what cannot be is refused with its place, and leaves no file;
#   - a file that is there is replaced only when asked.
# usage: test_embed.sh LORAC MAKE_TINY
. "$(dirname "$0")/support.sh"

printf 'id,text\n1,so warm\n2,"so, flat"\n3,\n' >"$dir/rows.csv"
expect 0 embed --model "$model" --data "$dir/rows.csv" --column text --out "$dir/v.csv"
has err "3 rows embedded, 16 numbers each (mean, normalised), written to $dir/v.csv" "note: 1 cell blank"
[ "$(wc -l <"$dir/v.csv")" = 4 ] || fail "not a line for each row"
[ "$(head -n 1 "$dir/v.csv" | cut -d, -f1-3,17)" = line,e0,e1,e15 ] || fail "$(head -n 1 "$dir/v.csv")"
[ "$(cut -d, -f1 "$dir/v.csv" | tr '\n' ' ')" = "line 2 3 4 " ] || fail "lines: $(cut -d, -f1 "$dir/v.csv")"
awk -F, 'NR > 1 { s = 0; for (i = 2; i <= NF; i++) s += $i * $i; if (s < 0.999999 || s > 1.000001) exit 1 }' "$dir/v.csv" ||
    fail "not of length 1"

# ---- the same, otherwise written ----
printf '{"text": "so warm"}\n{"text": "so, flat"}\n{"text": ""}\n' >"$dir/rows.jsonl"
printf 'id\ttext\n1\tso warm\n2\tso, flat\n3\t\n' >"$dir/rows.tsv"
printf 'id;text\n1;so warm\n2;so, flat\n3;\n' >"$dir/semi.csv"
for f in rows.jsonl rows.tsv 'semi.csv --delimiter ;'; do
    # shellcheck disable=SC2086 # its words
    expect 0 embed --model "$model" --data "$dir"/$f --column text --out "$dir/w.csv" --overwrite
    [ "$(cut -d, -f2- "$dir/v.csv")" = "$(cut -d, -f2- "$dir/w.csv")" ] || fail "$f: other vectors"
done
expect 0 embed --model "$model" --data "$dir/rows.csv" --column 2 --out "$dir/v.safetensors" --json
json rows width pooling normalized max_tokens cut tokens_lost blank prompt out
[ "$(value width)" = 16 ] || fail "width $(value width)"
head -c 400 "$dir/v.safetensors" | tr -d '\0' | grep -aq '"embeddings": *{"dtype": *"F32", *"shape": *\[3, *16\]' ||
    fail "$(head -c 400 "$dir/v.safetensors" | strings)"

# ---- asked otherwise ----
expect 0 embed --model "$model" --data "$dir/rows.csv" --column text --out "$dir/w.csv" --overwrite --no-normalize
has err "(mean), written"
cmp -s "$dir/v.csv" "$dir/w.csv" && fail "--no-normalize changes nothing"
expect 0 embed --model "$model" --data "$dir/rows.csv" --column text --out "$dir/w.csv" --overwrite --pooling last
has err "(last, normalised)"
cmp -s "$dir/v.csv" "$dir/w.csv" && fail "--pooling changes nothing"
expect 0 embed --model "$model" --data "$dir/rows.csv" --column text --out "$dir/w.csv" --overwrite --max-tokens 4
has err "note: 2 rows longer than 4 tokens and lost"

# ---- refused ----
refused 2 "$dir/v.csv: is there already" embed --model "$model" --data "$dir/rows.csv" --column text --out "$dir/v.csv"
cp "$dir/rows.csv" "$dir/kept.csv"
refused 2 "$dir/rows.csv: is the table to read (--data)" embed --model "$model" --data "$dir/rows.csv" --column text \
    --out "$dir/rows.csv" --overwrite
cmp -s "$dir/rows.csv" "$dir/kept.csv" || fail "the table is replaced"
refused 2 "its name must end with .csv or .safetensors" embed --model "$model" --data "$dir/rows.csv" --column text \
    --out "$dir/v.npy"
refused 2 "--pooling must be mean, cls or last, found 'max'" embed --model "$model" --data "$dir/rows.csv" \
    --column text --out "$dir/x.csv" --pooling max
refused 1 "txt" embed --model "$model" --data "$dir/rows.csv" --column txt --out "$dir/x.csv"
refused 1 "--delimiter must be one character, found ', '" embed --model "$model" --data "$dir/rows.csv" --column text \
    --out "$dir/x.csv" --delimiter ', '
refused 1 "--max-tokens 99999: expected 1 to" embed --model "$model" --data "$dir/rows.csv" --column text \
    --out "$dir/x.csv" --max-tokens 99999
refused 1 "--delimiter is of CSV, and $dir/rows.jsonl are JSON lines" embed --model "$model" --data "$dir/rows.jsonl" \
    --column text --out "$dir/x.csv" --delimiter ';'
printf 'text\n' >"$dir/none.csv"
refused 1 "none.csv: no rows behind the header" embed --model "$model" --data "$dir/none.csv" --column text --out "$dir/x.csv"
[ ! -e "$dir/x.csv" ] || fail "a file is left of what was refused"
finish
