/* jsonl.c - tables of JSON lines: an object on each line, its members are the cells; see
 * datasets.h. jansson says at opening whether a line is JSON; of one that is, members are found by
 * their quotes and brackets. */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "datasets/foreign.h"
#include "datasets/table.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* ---- members ---- */

struct span {
    const char *at;
    size_t n;
};

static size_t skip_space(const char *at, size_t i, size_t n)
{
    while (i < n && (at[i] == ' ' || at[i] == '\t' || at[i] == '\r' || at[i] == '\n')) {
        i++;
    }
    return i;
}

/* Behind the string that opens at i; SIZE_MAX: none closes. */
static size_t skip_string(const char *at, size_t i, size_t n)
{
    for (i++; i < n && at[i] != '"'; i++) {
        i += at[i] == '\\';
    }
    return i < n ? i + 1 : SIZE_MAX;
}

/* Behind the value that begins at i. */
static size_t skip_value(const char *at, size_t i, size_t n)
{
    size_t depth = 0;
    while (i < n) {
        char c = at[i];
        if (c == '"') {
            i = skip_string(at, i, n);
            if (i == SIZE_MAX || depth == 0) { return i; }
            continue;
        }
        bool closes = c == ']' || c == '}';
        if (depth == 0 && (closes || c == ',' || c == ' ' || c == '\t' || c == '\r')) { return i; }
        depth += c == '[' || c == '{';
        i++;
        if (closes && --depth == 0) { return i; }
    }
    return SIZE_MAX;
}

/* The member that begins at *i, which goes behind it and its comma. false: there is none (the
 * object closes), or, where *i is SIZE_MAX, this is no JSON. */
static bool next_member(struct span *key, struct span *value, size_t *i, const char *at, size_t n)
{
    size_t k = skip_space(at, *i, n);
    *i = SIZE_MAX;
    if (k < n && at[k] == '}') {
        *i = k + 1;
        return false;
    }
    size_t end = k < n && at[k] == '"' ? skip_string(at, k, n) : SIZE_MAX;
    if (end == SIZE_MAX) { return false; }
    *key = (struct span){at + k, end - k};
    k = skip_space(at, end, n);
    if (k == n || at[k] != ':') { return false; }
    k = skip_space(at, k + 1, n);
    end = skip_value(at, k, n);
    if (end == SIZE_MAX) { return false; }
    *value = (struct span){at + k, end - k};
    k = skip_space(at, end, n);
    if (k == n || (at[k] != ',' && at[k] != '}')) { return false; }
    *i = k + (at[k] == ',');
    return true;
}

static bool read_unit(uint32_t *out, const char *at, size_t n)
{
    *out = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = i < n ? at[i] : 'x';
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : 16;
        if (digit == 16) { return false; }
        *out = *out << 4 | digit;
    }
    return true;
}

/* The character behind a backslash at `at`, which stands for as many bytes as are returned (0:
 * none). */
static size_t read_escape(struct lorac_buf *out, const char *at, size_t n)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *plain = n && *at ? strchr(from, *at) : NULL;
    uint32_t c = 0;
    uint32_t low = 0;
    utf8proc_uint8_t bytes[4];
    if (plain) {
        lorac_buf_add(out, &to[plain - from], 1);
        return 1;
    }
    if (!n || *at != 'u' || !read_unit(&c, at + 1, n - 1)) { return 0; }
    bool pair = c >= 0xD800 && c < 0xDC00;
    if (pair) {
        bool whole = n > 7 && at[5] == '\\' && at[6] == 'u' && read_unit(&low, at + 7, n - 7);
        if (!whole || low < 0xDC00 || low > 0xDFFF) { return 0; }
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    lorac_buf_add(out, bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, bytes));
    return pair ? 11 : 5;
}

/* Append what a string with its quotes says; false: it is none. */
static bool read_string(struct lorac_buf *out, struct span s)
{
    for (size_t i = 1; i + 1 < s.n; i++) {
        size_t run = 0;
        while (i + run + 1 < s.n && s.at[i + run] != '\\') {
            run++;
        }
        lorac_buf_add(out, s.at + i, run);
        i += run;
        if (i + 1 >= s.n) { break; }
        size_t used = read_escape(out, s.at + i + 1, s.n - i - 2);
        if (!used) { return false; }
        i += used;
    }
    return true;
}

static bool is_word(struct span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

/* ---- reading a row ---- */

static enum lorac_status make_room(struct lorac_row_memory *m, const struct lorac_table *t,
                                   size_t bytes, struct lorac_err *err)
{
    struct lorac_cell *cells = lorac_mem_grow(m->cells, 0, &m->cap, t->columns, sizeof *cells);
    if (cells) { m->cells = cells; }
    bool *nested = lorac_mem_grow(m->nested, 0, &m->cap_nested, t->columns, sizeof *nested);
    if (nested) { m->nested = nested; }
    if (m->text.cap < bytes + 1) { // cells point into it: it must not move
        lorac_buf_free(&m->text);
        m->text.at = lorac_mem_grow(NULL, 0, &m->text.cap, bytes + 1, 1);
    }
    if (!cells || !nested || !m->text.at) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a row", t->file);
    }
    for (size_t c = 0; c < t->columns; c++) { // without a value: blank
        m->cells[c] = (struct lorac_cell){"", 0};
        m->nested[c] = false;
    }
    return LORAC_OK;
}

/* The column of this name, as a rule the next one; t->columns: none. */
static size_t find_column(const struct lorac_table *t, const char *name, size_t next)
{
    for (size_t k = 0; k < t->columns; k++) {
        size_t c = (next + k) % t->columns;
        if (strcmp(t->names[c], name) == 0) { return c; }
    }
    return t->columns;
}

/* The value of a member into column c. */
static bool take_value(struct lorac_row_memory *m, size_t c, struct span value)
{
    size_t before = m->text.n;
    char first = *value.at;
    if (is_word(value, "null")) { return true; }
    if (first == '"') {
        if (!read_string(&m->text, value)) { return false; }
    } else { // a number, a word, a list or an object, as it stands
        lorac_buf_add(&m->text, value.at, value.n);
    }
    m->nested[c] = first == '[' || first == '{';
    m->cells[c] = (struct lorac_cell){m->text.at + before, m->text.n - before};
    return true;
}

static enum lorac_status read_row(struct lorac_row_memory *m, const struct lorac_table *t,
                                  size_t at, size_t end, struct lorac_err *err)
{
    const char *line = t->data + at;
    size_t n = end - at;
    struct span key = {0};
    struct span value = {0};
    enum lorac_status st = make_room(m, t, n, err);
    if (st) { return st; }
    size_t i = skip_space(line, 0, n);
    if (i == n || line[i] != '{') { return LORAC_EIO; }
    i++;
    for (size_t c = 0; next_member(&key, &value, &i, line, n); c++) {
        size_t before = m->text.n;
        if (!read_string(&m->text, key) || m->text.n >= m->text.cap) { return LORAC_EIO; }
        m->text.at[m->text.n] = '\0';
        c = find_column(t, m->text.at + before, c % t->columns);
        m->text.n = before;
        if (c == t->columns || !take_value(m, c, value)) { return LORAC_EIO; }
    }
    m->n = t->columns;
    return i == SIZE_MAX ? LORAC_EIO : LORAC_OK;
}

/* ---- opening ---- */

/* A top-level text with a NUL in it would end there. */
static enum lorac_status check_text(const struct lorac_table *t, const char *key,
                                    const json_t *value, uint64_t line, struct lorac_err *err)
{
    const char *text = json_string_value(value);
    char shown[64];
    if (!text || strlen(text) == json_string_length(value)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT, "%s:%llu: '%s': holds a NUL character, expected text",
                      t->file, (unsigned long long)line,
                      lorac_visible(shown, sizeof shown, key, strlen(key)));
}

static enum lorac_status take_line(struct lorac_table *t, const json_t *object, uint64_t line,
                                   struct lorac_err *err)
{
    const char *key = NULL;
    const json_t *value = NULL;
    size_t next = 0;
    enum lorac_status st = LORAC_OK;
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at && !st;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        key = json_object_iter_key(at);
        value = json_object_iter_value(at);
        size_t c = t->columns ? find_column(t, key, next % t->columns) : 0;
        next = c + 1;
        st = check_text(t, key, value, line, err);
        if (st || c < t->columns) { continue; }
        if (t->columns == LORAC_MAX_COLUMNS) {
            return lorac_fail(err, LORAC_EFORMAT, "%s:%llu: more than %d different keys", t->file,
                              (unsigned long long)line, LORAC_MAX_COLUMNS);
        }
        if (!lorac_table_add_name(t, key, strlen(key))) { return lorac_table_no_memory(t, err); }
        t->columns++;
    }
    return st;
}

/* What it says of a line that is JSON, but no object, or of one that ends within it. */
static enum lorac_status refuse_line(const struct lorac_table *t, const json_t *found,
                                     uint64_t line, struct lorac_err *err)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    return lorac_fail(err, LORAC_EFORMAT,
                      "%s:%llu: %s, expected an object, as in {\"text\": \"...\"}, on each line",
                      t->file, (unsigned long long)line, kinds[json_typeof(found)]);
}

static enum lorac_status read_line(struct lorac_table *t, size_t at, size_t n, uint64_t line,
                                   struct lorac_err *err)
{
    struct lorac_json root = {0};
    const char *text = t->data + at;
    if (n > LORAC_MAX_FIELD) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s:%llu: a line of %zu bytes, expected at most 16 MiB", t->file,
                          (unsigned long long)line, n);
    }
    enum lorac_status st = lorac_json_parse_line(&root, text, n, t->file, line, err);
    size_t last = n;
    while (last > 0 && strchr(" \t\r", text[last - 1])) {
        last--;
    }
    bool opens = last && strchr("{[,:", text[last - 1]) && at + n < t->size;
    if (st == LORAC_EFORMAT && opens) {
        lorac_err_add(err, "; an object goes on below: jq -c . '%s' writes each on one line",
                      t->file);
    }
    if (!st && !json_is_object(root.value)) { st = refuse_line(t, root.value, line, err); }
    if (!st) { st = take_line(t, root.value, line, err); }
    lorac_json_free(&root);
    return st ? st : lorac_table_add_row(t, at, line, err);
}

static enum lorac_status read_lines(struct lorac_table *t, size_t at, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    uint64_t line = 1;
    for (size_t kept = 0; at < t->size && !st; line++) {
        const char *end = memchr(t->data + at, '\n', t->size - at);
        size_t n = end ? (size_t)(end - t->data) - at : t->size - at;
        if (skip_space(t->data + at, 0, n) == n) {
            lorac_tally_add(&t->blank_lines, line);
        } else {
            st = read_line(t, at, n, line, err);
        }
        at += n + 1;
        if (at - kept < LORAC_MAP_READ) { continue; }
        lorac_map_forget(&t->map);
        kept = at;
    }
    lorac_map_forget(&t->map);
    if (st) { return st; }
    if (t->rows == 0) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: no rows, expected at least one line of JSON",
                          t->file);
    }
    return t->columns ? LORAC_OK
                      : lorac_fail(err, LORAC_EFORMAT, "%s: no object has a member", t->file);
}

static enum lorac_status open_bytes(struct lorac_table *t, const char *bytes, size_t n,
                                    struct lorac_err *err)
{
    const struct lorac_table_format plain = {.kind = LORAC_TABLE_JSONL, .delimiter = ','};
    if (t->format.encoding != LORAC_ENCODING_UTF8) {
        return lorac_fail(err, LORAC_EUSER, "%s: JSON lines are UTF-8, %s was asked for", t->file,
                          lorac_encoding_name(t->format.encoding));
    }
    t->format = plain;
    t->data = bytes;
    t->size = n;
    enum lorac_status st = lorac_foreign_lines(bytes, n, t->file, err);
    bool marked = n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0;
    return st ? st : read_lines(t, marked ? 3 : 0, err);
}

/* ---- writing ---- */

/* Up to where its object closes. */
static void begin_row(struct lorac_buf *b, const struct lorac_raw *row)
{
    size_t n = row->n;
    while (n > 0 && row->at[n - 1] != '}') {
        n--;
    }
    n -= n > 0;
    while (n > 0 && skip_space(row->at, n - 1, n) == n) {
        n--;
    }
    lorac_buf_add(b, row->at, n);
}

static bool add_cell(struct lorac_buf *b, const struct lorac_table *t, const char *name,
                     const char *text, size_t n, bool number)
{
    (void)t;
    lorac_buf_str(b, b->n && b->at[b->n - 1] != '{' ? ", " : "");
    lorac_buf_json(b, name, strlen(name));
    lorac_buf_str(b, ": ");
    if (!text || (number && n == 0)) {
        lorac_buf_str(b, "null");
    } else if (number) {
        lorac_buf_add(b, text, n);
    } else {
        lorac_buf_json(b, text, n);
    }
    return true;
}

static void end_row(struct lorac_buf *b)
{
    lorac_buf_str(b, "}");
}

const struct lorac_table_kind lorac_table_jsonl = {
    .name = "jsonl",
    .nests = true,
    .open = open_bytes,
    .read = read_row,
    .begin_row = begin_row,
    .add_cell = add_cell,
    .end_row = end_row,
};
