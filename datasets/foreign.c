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
    bool nested; // one of these holds a list or an object
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
            size_t value = skip_space(j, next + 1);
            j->nested = j->nested || (value < j->n && (j->at[value] == '{' || j->at[value] == '['));
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

static bool has_key(const struct json *j, const char *name)
{
    for (size_t k = 0; k < j->n_keys; k++) {
        if (j->key[k].n == strlen(name) && memcmp(j->key[k].at, name, j->key[k].n) == 0) {
            return true;
        }
    }
    return false;
}

/* A word that jq takes behind a dot. */
static bool is_plain(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z');
        if (!letter && at[i] != '_' && (i == 0 || at[i] < '0' || at[i] > '9')) { return false; }
    }
    return n > 0;
}

/* The command that makes a table of it, where there is a plain one. */
static void add_command(struct lorac_buf *b, const struct json *j, const char *inputs,
                        const char *file)
{
    static const struct {
        const char *list, *who, *asks, *answers, *text;
    } chats[] = {{"messages", "role", "user", "assistant", "content"},
                 {"conversations", "from", "human", "gpt", "value"}};
    for (size_t i = 0; i < sizeof chats / sizeof *chats; i++) {
        bool prefers = has_key(j, "chosen") || has_key(j, "rejected");
        if (!has_key(j, chats[i].list) || prefers) { continue; }
        lorac_buf_printf(b,
                         "; the first question and answer of each make a table with: jq -rn "
                         "'[\"question\",\"answer\"], (%s.%s | [map(select(.%s==\"%s\"))[0].%s, "
                         "map(select(.%s==\"%s\"))[0].%s]) | @csv' '%s' > table.csv",
                         inputs, chats[i].list, chats[i].who, chats[i].asks, chats[i].text,
                         chats[i].who, chats[i].answers, chats[i].text, file);
        return;
    }
    if (j->nested) { return; }
    for (size_t k = 0; k < j->n_keys; k++) {
        if (!is_plain(j->key[k].at, j->key[k].n)) { return; }
    }
    for (size_t k = 0; k < j->n_keys; k++) {
        lorac_buf_printf(b, "%s\"%.*s\"", k ? "," : "; make a table of it with: jq -rn '[",
                         (int)j->key[k].n, j->key[k].at);
    }
    for (size_t k = 0; k < j->n_keys; k++) {
        if (k == 0) { lorac_buf_printf(b, "], (%s | [", inputs); }
        lorac_buf_printf(b, "%s.%.*s", k ? ", " : "", (int)j->key[k].n, j->key[k].at);
    }
    if (j->n_keys) { lorac_buf_printf(b, "]) | @csv' '%s' > table.csv", file); }
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
    struct lorac_buf command = {0};
    lorac_buf_printf(&b, "%s: holds %s", file, python ? "Python dictionaries" : what);
    for (size_t k = 0; k < j.n_keys; k++) {
        char name[48];
        lorac_buf_printf(&b, "%s'%s'", k ? ", " : " with ",
                         lorac_visible(name, sizeof name, j.key[k].at, j.key[k].n));
    }
    lorac_buf_printf(&b, "%s; %s, a table is CSV or its like", j.n_keys == MAX_KEYS ? ", ..." : "",
                     python ? "they are not read" : "JSON is not read yet");
    if (!python) { add_command(&command, &j, list ? "inputs[]" : "inputs", file); }
    bool fits = command.at && b.n + command.n < sizeof err->text; // half a command is none
    enum lorac_status st =
        b.no_memory || command.no_memory
            ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a message", file)
            : lorac_fail(err, LORAC_EFORMAT, "%s%s", b.at, fits ? command.at : "");
    lorac_buf_free(&b);
    lorac_buf_free(&command);
    return st;
}

enum lorac_status lorac_foreign_table(const char *bytes, size_t n, const char *file,
                                      struct lorac_err *err)
{
    enum lorac_status st = check_magic(bytes, n, false, file, err);
    return st ? st : check_json(bytes, n, file, err);
}

enum lorac_status lorac_foreign_text(const char *bytes, size_t n, const char *file,
                                     struct lorac_err *err)
{
    return check_magic(bytes, n, true, file, err);
}
