# What the program writes about itself: man pages and completion for bash. Promised:
#   - a page for each verb, which says word for word what --help says, in the same paragraphs, and one for the program,
#     which names them all; clean for groff and mandoc;
#   - bash completes verbs, options, choices, and after --set the keys of recipes and what may stand at them, whether
#     it cuts words at '=' or not.
. "$(dirname "$0")/support.sh"

expect 0 --pages "$dir/pages"
cp "$dir/pages/bash/lorac" "$dir/completion"
verbs=$("$lorac" --help | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p' | grep -v '^lorac$')
[ "$(echo "$verbs" | wc -l)" -ge 16 ] || fail "verbs: $verbs"

# page FILE: what a reader sees of it where lines never end: a paragraph each, blanks squeezed.
page() {
    groff -Tascii -P-c -P-b -P-u -man -rLL=9000n "$1" | sed 's/  */ /g; s/^ //; s/ $//' | grep -v '^$'
}
# told VERB: the same from its --help.
told() {
    echo "LORAC-$1(1) User Commands LORAC-$1(1)" | tr 'a-z' 'A-Z' | sed 's/USER COMMANDS/User Commands/'
    "$lorac" "$1" --help | awk -v verb="$1" '
        function flush() { if (text != "") { print text; text = "" } }
        { blank = /^ /; gsub(/  */, " "); sub(/^ /, "") }
        part == "options" { if (/^--help /) { $0 = "--help show the options" } print; next }
        /^options:$/ { flush(); print "OPTIONS"; part = "options"; next }
        /^usage: / { usage = substr($0, 8); next }
        /^$/ && !part { part = "summary"; next }
        !part { usage = usage " " $0; next }
        part == "summary" { print "NAME"; print "lorac-" verb " - " $0; print "SYNOPSIS"; print usage; part = "first"; next }
        /^$/ { flush(); next }
        part == "first" { print "DESCRIPTION"; part = "about" }
        blank { flush(); print; next }
        { text = text (text == "" ? "" : " ") $0 }'
    printf '%s\n' "EXIT STATUS" "0 success, 1 failed, 2 wrong usage, 130 or 143 stopped by a signal with all saved." \
        "SEE ALSO" "lorac(1)"
}
# on_one_line: an option and what it does, which a page shows on one line or on two.
on_one_line() {
    awk '/^OPTIONS$/ { on = 1 } /^EXIT STATUS$/ { on = 0; print "" }
         on { printf "%s ", $0; next } { print }' | sed 's/ $//'
}
for verb in $verbs; do
    [ -s "$dir/pages/man1/lorac-$verb.1" ] || fail "no page for $verb"
    command -v groff >/dev/null || continue
    page "$dir/pages/man1/lorac-$verb.1" | sed '$d' | on_one_line >"$dir/page"
    told "$verb" | on_one_line >"$dir/told"
    diff "$dir/told" "$dir/page" >"$dir/differs" || { fail "$verb: its page says otherwise than --help:"; cat "$dir/differs"; }
done
if command -v groff >/dev/null; then
    page "$dir/pages/man1/lorac.1" | tr '\n' ' ' >"$dir/page"
    "$lorac" --help | sed -n 's/^  \([a-z][a-z]*\)  *\([^ ].*\)/lorac-\1(1) \2/p' | grep -v '^lorac-lorac' >"$dir/told"
    printf '%s\n' 'OPTIONS --help list the verbs --version say which version it is ENVIRONMENT LORAC_BACKEND what' \
        'OMP_NUM_THREADS threads,' 'HF_HUB_CACHE, HF_HOME where models' 'EXIT STATUS 0 success, 1 failed,' >>"$dir/told"
    while read -r line; do
        grep -qF -- "$line" "$dir/page" || fail "lorac.1 does not say: $line"
    done <"$dir/told"
fi
for page in "$dir"/pages/man1/*.1; do
    if command -v mandoc >/dev/null; then
        said=$(mandoc -T lint "$page")
        [ -z "$said" ] || fail "$said"
    fi
    if command -v groff >/dev/null; then
        said=$(groff -ww -man -z "$page" 2>&1)
        [ -z "$said" ] || fail "$said"
    fi
done
SOURCE_DATE_EPOCH=86400 "$lorac" --pages "$dir/dated"
grep -q '^.TH LORAC 1 "1970-01-02"' "$dir/dated/man1/lorac.1" || fail "the date is not that of the source"

# complete BREAKS WORDS...: what bash offers for the last word, words cut as it cuts them.
complete() {
    env -u LC_ALL bash --norc -c '
        . "$1"; COMP_WORDBREAKS=$2; shift 2
        COMP_WORDS=(lorac "$@"); COMP_CWORD=$#; _lorac 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$dir/completion" "$@" | sort | tr '\n' ' '
}
# offers WANT BREAKS WORDS...
offers() {
    want=$1
    shift
    got=$(complete "$@")
    [ "$got" = "$want " ] || fail "bash offers '$got' behind lorac $*, not '$want'"
}
# asks WANT WORDS...: what the completion asks of bash: no blank behind the word, a folder's slash.
asks() {
    want=$1
    shift
    got=$(env -u LC_ALL bash --norc -c '
        . "$1"; shift; compopt() { printf "%s\n" "$2"; }
        COMP_WORDBREAKS="="; COMP_WORDS=(lorac "$@"); COMP_CWORD=$#; _lorac' bash "$dir/completion" "$@")
    [ "$got" = "$want" ] || fail "behind lorac $* bash is asked for '$got', not '$want'"
}
command -v bash >/dev/null || { echo "no bash"; exit 77; }
[ "$(bash --norc -c '. "$1"; complete -p lorac' bash "$dir/completion")" = "complete -F _lorac lorac" ] ||
    fail "bash does not complete lorac"
offers "plan predict prompt" '=' p
offers "--resume" '=' train --r
offers "--help" '=' plan --he
offers "adapter.bias=" '=' train --set adapter.bi
offers "adapter.bias" '=' train --unset adapter.bi
offers "all lora_only none" '=' train --set adapter.bias '=' ''
offers "lora_only" '=' train --set adapter.bias '=' l
offers "adapter.bias=lora_only" ' ' train --set adapter.bias=l
offers "lora_only" '=' train --set '=' adapter.bias '=' l
offers "--set=adapter.bias=lora_only" ' ' train --set=adapter.bias=l
offers "test train valid" '=' eval x --split ''
offers "bfloat16" '=' merge --dtype b
offers "check" '=' recipe c
offers "adapter.rank" '=' recipe explain adapter.ra
mkdir -p "$dir/place/folder" && touch "$dir/place/file"
offers "$dir/place/file $dir/place/folder" '=' train "$dir/place/f"
offers "$dir/place/folder" '=' generate --model "$dir/place/f"
offers "$dir/place/file $dir/place/folder" '=' report --out "$dir/place/f"
offers "" '=' generate --prompt "$dir/place/f"
offers "help" '=' he
offers "--version" '=' --v
for key in data.train data.valid data.test model.path output.dir extends; do
    offers "$dir/place/file $dir/place/folder" '=' train --set $key '=' "$dir/place/f"
done
asks nospace train --set adapter.bi
asks filenames generate --model "$dir/place/f"
asks filenames train "$dir/place/f"
asks "" train --set adapter.bias '=' l
finish
