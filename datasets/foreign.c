/* foreign.c - what is given for a table and is none; see foreign.h. A file of JSON lines has commas
 * and quotes, so that it may read as a CSV whose cells are braces: it is known before anything is
 * read. */
#include "datasets/foreign.h"

#include "base/core/buf.h"
#include "base/core/file.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- files that say in their first bytes what they are ---- */

static const struct {
    const char *magic;
    size_t n;
    bool text; // could be plain text, too
    const char *what;
} kinds[] = {
    {"PAR1", 4, false, "a Parquet file; write it as CSV, as with DataFrame.to_csv()"},
    {"ARROW1", 6, false, "an Arrow file; write it as CSV, as with DataFrame.to_csv()"},
    {"PK\003\004", 4, false,
     "a zip archive, as .xlsx and .ods are; save the sheet as CSV (UTF-8), or unpack the archive"},
    {"\xD0\xCF\x11\xE0", 4, false, "an old Excel or Word file; save the sheet as CSV (UTF-8)"},
    {"\x1F\x8B", 2, false, "compressed with gzip; unpack it with gzip -d"},
    {"\x28\xB5\x2F\xFD", 4, false, "compressed with zstd; unpack it with zstd -d"},
    {"\xFD"
     "7zXZ",
     5, false, "compressed with xz; unpack it with xz -d"},
    {"SQLite format 3", 16, false, "an SQLite database; write the table as CSV (.mode csv)"},
    {"%PDF-", 5, false, "a PDF"},
    {"<!DOCTYPE ", 10, true, "a web page; download the file itself"},
    {"<!doctype ", 10, true, "a web page; download the file itself"},
    {"<?xml ", 6, true, "XML"},
    {"<html", 5, true, "a web page; download the file itself"},
};

static enum lorac_status check_magic(const char *bytes, size_t n, bool text, const char *file,
                                     struct lorac_err *err)
{
    enum lorac_status st = lorac_lfs_check((const unsigned char *)bytes, n, file, err);
    if (st) { return st; }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (n < kinds[i].n || memcmp(bytes, kinds[i].magic, kinds[i].n) != 0) { continue; }
        if (text && kinds[i].text) { continue; }
        return lorac_fail(err, LORAC_EFORMAT, "%s: is no %s, but %s", file,
                          text ? "plain text" : "table (CSV)", kinds[i].what);
    }
    return LORAC_OK;
}

/* ---- JSON ---- */

enum { MAX_KEYS = 8 };

struct json {
    const char *at;
    size_t n;
    struct {
        const char *at;
        size_t n;
    } key[MAX_KEYS]; // of the first object
    size_t n_keys;
};

static size_t skip_space(const struct json *j, size_t i)
{
    while (i < j->n && strchr(" \t\r\n", j->at[i]) && j->at[i]) {
        i++;
    }
    return i;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\''; // of a Python dictionary, printed
}

/* Behind the string whose quote opens at i, or SIZE_MAX. */
static size_t skip_string(const struct json *j, size_t i)
{
    char quote = j->at[i];
    for (i++; i < j->n && j->at[i] != quote; i++) {
        if (j->at[i] == '\\') { i++; }
    }
    return i < j->n ? i + 1 : SIZE_MAX;
}

/* Behind the object that opens at i, or SIZE_MAX where none does: brackets in pairs, strings whole,
 * and a key first. */
static size_t skip_object(struct json *j, size_t i, bool keys)
{
    size_t depth = 0;
    size_t first = skip_space(j, i + 1);
    bool opens = i < j->n && j->at[i] == '{' && first < j->n;
    if (!opens || (!is_quote(j->at[first]) && j->at[first] != '}')) { return SIZE_MAX; }
    while (i < j->n) {
        char c = j->at[i];
        if (!is_quote(c)) {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            i++;
            if (depth == 0) { return i; }
            continue;
        }
        size_t end = skip_string(j, i);
        if (end == SIZE_MAX) { return SIZE_MAX; }
        size_t next = skip_space(j, end);
        bool key = depth == 1 && next < j->n && j->at[next] == ':';
        if (i == first && !key) { return SIZE_MAX; }
        if (key && keys && j->n_keys < MAX_KEYS) {
            j->key[j->n_keys].at = j->at + i + 1;
            j->key[j->n_keys++].n = end - i - 2;
        }
        i = end;
    }
    return SIZE_MAX;
}

/* Nothing but white space up to the line's end: behind a cell of JSON there would be other cells.
 */
static bool ends_line(const struct json *j, size_t i)
{
    while (i < j->n && (j->at[i] == ' ' || j->at[i] == '\t' || j->at[i] == '\r')) {
        i++;
    }
    return i == j->n || j->at[i] == '\n' || j->at[i - 1] == '\r';
}

/* A list on each line: ["a text", "its label"]. */
static bool is_row_of_list(const struct json *j, size_t i)
{
    size_t depth = 0;
    size_t first = skip_space(j, i + 1);
    if (first == j->n || j->at[first] != '"') { return false; }
    while (i < j->n && j->at[i] != '\n') {
        if (j->at[i] == '"') {
            i = skip_string(j, i);
            if (i == SIZE_MAX) { return false; }
            continue;
        }
        depth += j->at[i] == '[';
        depth -= j->at[i] == ']';
        i++;
        if (depth == 0) { break; }
    }
    size_t next = skip_space(j, i);
    return depth == 0 && ends_line(j, i) && (next == j->n || j->at[next] == '[');
}

/* A list that goes on below its bracket: of strings, numbers or lists. */
static bool is_long_list(const struct json *j, size_t i)
{
    size_t next = skip_space(j, i + 1);
    return ends_line(j, i + 1) && next < j->n && strchr("\"[0123456789-]", j->at[next]) != NULL;
}

/* Is it a list of objects? One in a cell ends on its line, with other cells behind it. */
static bool is_list(struct json *j, size_t i)
{
    bool first = true;
    size_t line = i; // where the last object ended
    for (i = skip_space(j, i + 1); i < j->n; i = skip_space(j, i + 1)) {
        size_t end = skip_object(j, i, first);
        if (end == SIZE_MAX) { return false; }
        if (!first && memchr(j->at + line, '\n', i - line)) { return true; }
        first = false;
        line = end;
        i = skip_space(j, end);
        if (i < j->n && j->at[i] == ']') { return ends_line(j, i + 1); }
        if (i == j->n || j->at[i] != ',') { return false; }
    }
    return false;
}

static enum lorac_status check_json(const char *bytes, size_t n, const char *file,
                                    struct lorac_err *err)
{
    struct json j = {.at = bytes, .n = n};
    size_t i = n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    i = skip_space(&j, i);
    if (i == n || (bytes[i] != '{' && bytes[i] != '[')) { return LORAC_OK; }
    bool list = bytes[i] == '[';
    size_t end = list ? 0 : skip_object(&j, i, true);
    bool other = list && (is_long_list(&j, i) || is_row_of_list(&j, i));
    if (list ? !other && !is_list(&j, i) : end == SIZE_MAX || !ends_line(&j, end)) {
        return LORAC_OK;
    }
    size_t first = skip_space(&j, i + 1);
    bool python = !list && first < n && bytes[first] == '\'';
    const char *what = "a JSON object";
    if (!list && skip_space(&j, end) < n) { what = "JSON lines, objects"; }
    if (list) { what = other ? "a JSON list" : "a JSON list of objects"; }
    struct lorac_buf b = {0};
    lorac_buf_printf(&b, "%s: holds %s", file, python ? "Python dictionaries" : what);
    for (size_t k = 0; k < j.n_keys; k++) {
        char name[48];
        lorac_buf_printf(&b, "%s'%s'", k ? ", " : " with ",
                         lorac_visible(name, sizeof name, j.key[k].at, j.key[k].n));
    }
    lorac_buf_str(&b, j.n_keys == MAX_KEYS ? ", ..." : "");
    if (python || other) {
        lorac_buf_str(&b, "; a table is CSV, or JSON lines with an object on each");
    } else if (list) {
        lorac_buf_printf(&b,
                         "; jq -c '.[]' '%s' > table.jsonl makes JSON lines of it, which "
                         "data.format: jsonl reads",
                         file);
    } else {
        lorac_buf_str(&b, "; data.format: jsonl reads JSON lines");
    }
    enum lorac_status st = b.no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a message", file)
                               : lorac_fail(err, LORAC_EFORMAT, "%s", b.at);
    lorac_buf_free(&b);
    return st;
}

enum lorac_status lorac_foreign_table(const char *bytes, size_t n, const char *file,
                                      struct lorac_err *err)
{
    enum lorac_status st = check_magic(bytes, n, false, file, err);
    return st ? st : check_json(bytes, n, file, err);
}

enum lorac_status lorac_foreign_lines(const char *bytes, size_t n, const char *file,
                                      struct lorac_err *err)
{
    enum lorac_status st = check_magic(bytes, n, true, file, err);
    struct json j = {.at = bytes, .n = n};
    size_t i = skip_space(&j, n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0);
    bool utf16 = n >= 2 && (memcmp(bytes, "\xFF\xFE", 2) == 0 || memcmp(bytes, "\xFE\xFF", 2) == 0);
    if (st) { return st; }
    if (utf16) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: is UTF-16, and JSON lines are UTF-8: iconv -f UTF-16 -t UTF-8 '%s' > "
            "table.jsonl",
            file, file);
    }
    if (i == n || bytes[i] != '[') { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT,
                      "%s: holds a JSON list, expected an object on each line: jq -c '.[]' '%s' > "
                      "table.jsonl makes that of a list of objects",
                      file, file);
}

enum lorac_status lorac_foreign_text(const char *bytes, size_t n, const char *file,
                                     struct lorac_err *err)
{
    return check_magic(bytes, n, true, file, err);
}
