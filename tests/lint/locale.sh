#!/bin/sh
# locale.sh - numbers with a point are printed and read by base/core/number.c alone, so that no locale changes them.
# Run from the repository root. Prints each call of the C library's own that may know a decimal comma.
set -eu
awk '
    function wrong(at, what) { print FILENAME ":" at ": as in base/core/number.h, please:" what; bad = 1 }
    /^ *(\*|\/\*|\/\/)/ { next }
    FNR == 1 { statement = "" }
    /(^|[^_a-z])(strto(d|f|ld)|ato[fl]|v?s?n?scanf|v(f|s|sn)?printf)(_l)? *\(/ { wrong(FNR, $0) }
    /json_(loads|loadb|loadf|load_file|load_callback|dumps|dumpb|dumpf|dump_file|dump_callback) *\(/ && FILENAME != "base/core/json.c" { wrong(FNR, $0) }
    {   # a whole statement, as a format may stand on its next line
        if ($0 ~ /(^|[^_a-z])(sn|s|f)?printf *\(/) { statement = ""; at = FNR; open = 1 }
        if (open) { statement = statement $0 }
        if (open && /;/) {
            open = 0
            gsub(/%%/, "", statement)
            if (statement ~ /%[-+ #0-9.*]*L?[aAeEfFgG]/) { wrong(at, statement) }
        }
    }
    END { exit bad }' $(git ls-files 'base/*.[ch]' 'lora/*.[ch]' 'datasets/*.[ch]' 'recipes/*.[ch]' |
    grep -v '^base/core/number\.[ch]$\|^base/core/buf\.c$')
