/* encoding.c - tables as spreadsheets write them: Latin-1, Windows-1252, UTF-16. iconv makes UTF-8
 * of them; what it takes without a word although it is something else is refused here. See
 * encoding.h and datasets.h. */
#include "datasets/encoding.h"

#include "base/core/scratch.h"
#include "datasets/table.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <utf8proc.h>

static const char *const names[LORAC_N_ENCODINGS] = {
    [LORAC_ENCODING_UTF8] = "utf-8",
    [LORAC_ENCODING_LATIN1] = "latin-1",
    [LORAC_ENCODING_WINDOWS1252] = "windows-1252",
    [LORAC_ENCODING_UTF16] = "utf-16",
};

const char *lorac_encoding_name(enum lorac_encoding encoding)
{
    return names[encoding];
}

/* ---- what bytes look like ---- */

static bool starts_with(const char *bytes, size_t n, const char *mark, size_t n_mark)
{
    return n >= n_mark && memcmp(bytes, mark, n_mark) == 0;
}

static bool is_marked_utf16(const char *bytes, size_t n)
{
    return starts_with(bytes, n, "\xFF\xFE", 2) || starts_with(bytes, n, "\xFE\xFF", 2);
}

enum order { NO_ORDER, LITTLE, BIG };

/* The byte order of UTF-16: its mark's, else that in which the zero bytes of ASCII characters
 * stand. */
static enum order order_of(const char *bytes, size_t n)
{
    enum { LOOKED_AT = 1 << 16 };
    size_t zero[2] = {0, 0}; // at even and at odd places
    if (starts_with(bytes, n, "\xFF\xFE", 2)) { return LITTLE; }
    if (starts_with(bytes, n, "\xFE\xFF", 2)) { return BIG; }
    for (size_t i = 0; i < n && i < LOOKED_AT; i++) {
        zero[i & 1] += bytes[i] == '\0';
    }
    if (zero[0] == zero[1]) { return NO_ORDER; }
    return zero[1] > zero[0] ? LITTLE : BIG;
}

struct look {
    size_t good, bad; // if it is UTF-8: characters of several bytes, bytes that are none
    size_t letters;   // of ASCII
    size_t high;      // bytes above ASCII
    size_t controls;  // from 0x80 to 0x9F: Windows-1252; nothing anyone writes in Latin-1
    size_t zeros;
};

static bool is_control(char c)
{
    return (unsigned char)c >= 0x80 && (unsigned char)c <= 0x9F;
}

/* `map`: that which they are of, or NULL. */
static struct look look_at(const char *bytes, size_t n, const struct lorac_map *map)
{
    struct look l = {0};
    size_t at = 0; // the next character
    for (size_t i = 0; i < n;) {
        size_t end = n - i < LORAC_MAP_READ ? n : i + LORAC_MAP_READ;
        for (; i < end; i++) {
            unsigned char c = (unsigned char)bytes[i];
            l.zeros += c == 0;
            l.letters += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            l.high += c >= 0x80;
            l.controls += is_control(bytes[i]);
        }
        while (at < end) {
            utf8proc_int32_t u = 0;
            utf8proc_ssize_t k = 1;
            if ((unsigned char)bytes[at] >= 0x80) {
                k = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at,
                                     (utf8proc_ssize_t)(n - at < 4 ? n - at : 4), &u);
                l.good += k > 0;
                l.bad += k <= 0;
            }
            at += k > 0 ? (size_t)k : 1;
        }
        if (map) { lorac_map_forget(map); }
    }
    return l;
}

/* One damaged character does not make Latin-1 of a file: there, hardly any two bytes would be one
 * of UTF-8. */
static bool is_utf8(const struct look *l)
{
    return l->bad == 0 || l->good > l->bad;
}

/* Letters beyond ASCII are few in the languages that Latin-1 is for, and all or nearly all in
 * others. */
static bool is_western(const struct look *l)
{
    enum { FEW = 8 };
    return l->high < FEW || l->high <= l->letters / 2;
}

enum lorac_encoding lorac_encoding_guess(const char *bytes, size_t n)
{
    if (is_marked_utf16(bytes, n)) { return LORAC_ENCODING_UTF16; }
    struct look l = look_at(bytes, n, NULL);
    bool zeros = l.zeros >= n / 4 || l.bad;
    if (n > 1 && l.zeros && zeros && order_of(bytes, n)) { return LORAC_ENCODING_UTF16; }
    if (is_utf8(&l) || !is_western(&l)) { return LORAC_ENCODING_UTF8; } // its reader says why not
    return l.controls ? LORAC_ENCODING_WINDOWS1252 : LORAC_ENCODING_LATIN1;
}

const char *lorac_encoding_hint(const char *bytes, size_t n)
{
    static const char *const hints[LORAC_N_ENCODINGS] = {
        [LORAC_ENCODING_LATIN1] =
            "; the file looks like Latin-1: write data.format.encoding: latin-1",
        [LORAC_ENCODING_WINDOWS1252] =
            "; the file looks like Windows-1252: write data.format.encoding: windows-1252",
        [LORAC_ENCODING_UTF16] = "; the file looks like UTF-16: write data.format.encoding: utf-16",
    };
    struct look l = look_at(bytes, n, NULL);
    enum lorac_encoding seen = lorac_encoding_guess(bytes, n);
    if (seen) { return hints[seen]; }
    return is_utf8(&l)
               ? ", as all around it is (is the file damaged?)"
               : "; the file is of another encoding, and not Latin-1: iconv -f NAME -t UTF-8 "
                 "makes UTF-8 of it";
}

/* ---- refusals ---- */

struct decoder {
    const struct lorac_table *t;
    enum order order; // of UTF-16
    size_t at;        // of the table's bytes
    iconv_t iconv;
    int fd;   // of the file that they go to
    size_t n; // bytes there
};

/* The byte at i, or the two of UTF-16 as a number. */
static unsigned unit_at(const struct decoder *d, size_t i)
{
    const unsigned char *b = (const unsigned char *)d->t->data + i;
    if (!d->order) { return b[0]; }
    return d->order == LITTLE ? b[0] | (unsigned)b[1] << 8 : (unsigned)b[0] << 8 | b[1];
}

/* "FILE:LINE:COLUMN: " of what is decoded so far, in front of the message. */
static void add_place(struct lorac_err *err, const struct decoder *d)
{
    unsigned long long line = 1;
    unsigned long long column = 1;
    size_t step = d->order ? 2 : 1;
    for (size_t i = 0; i < d->at; i += step) {
        unsigned c = unit_at(d, i);
        bool pair = c == '\r' && i + step < d->at && unit_at(d, i + step) == '\n';
        bool mark = i == 0 && c == 0xFEFF;
        bool low = c >= 0xDC00 && c <= 0xDFFF; // the second half of a character
        if ((c == '\n' || c == '\r') && !pair) {
            line++;
            column = 1;
        } else if (!mark && !low) {
            column++;
        }
    }
    lorac_err_prefix(err, "%s:%llu:%llu: ", d->t->file, line, column);
}

static enum lorac_status refuse(const struct decoder *d, struct lorac_err *err)
{
    unsigned char c = (unsigned char)d->t->data[d->at];
    if (d->order) {
        (void)lorac_fail(err, LORAC_EFORMAT, "half a character of UTF-16, expected a whole one");
    } else if (d->t->format.encoding == LORAC_ENCODING_LATIN1) {
        (void)lorac_fail(err, LORAC_EFORMAT,
                         "byte 0x%02X is no character of Latin-1, but one of Windows-1252; write "
                         "data.format.encoding: windows-1252",
                         c);
    } else {
        (void)lorac_fail(err, LORAC_EFORMAT, "byte 0x%02X is no character of Windows-1252", c);
    }
    add_place(err, d);
    return LORAC_EFORMAT;
}

/* Bytes that speak for another encoding than the one that is asked for. */
static enum lorac_status check_look(struct decoder *d, struct lorac_err *err)
{
    const char *bytes = d->t->data;
    size_t n = d->t->size;
    enum lorac_encoding encoding = d->t->format.encoding;
    const char *asked = names[encoding];
    if (starts_with(bytes, n, "\xFF\xFE\0\0", 4) || starts_with(bytes, n, "\0\0\xFE\xFF", 4)) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s:1:1: the byte order mark of UTF-32, expected UTF-8; convert the file "
                          "with iconv -f UTF-32 -t UTF-8",
                          d->t->file);
    }
    if (encoding != LORAC_ENCODING_UTF16 && is_marked_utf16(bytes, n)) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s:1:1: the byte order mark of UTF-16, expected %s; write "
                          "data.format.encoding: utf-16",
                          d->t->file, encoding == LORAC_ENCODING_UTF8 ? "UTF-8" : asked);
    }
    if (encoding == LORAC_ENCODING_UTF8 || d->order) { return LORAC_OK; }
    struct look l = look_at(bytes, n, &d->t->map);
    bool utf16 = encoding == LORAC_ENCODING_UTF16;
    if (utf16 || (is_utf8(&l) && l.good)) {
        return lorac_fail(
            err, LORAC_EFORMAT, "%s: is %s, but data.format.encoding says %s; write %s", d->t->file,
            utf16 ? "not UTF-16" : "UTF-8", asked, names[lorac_encoding_guess(bytes, n)]);
    }
    if (encoding != LORAC_ENCODING_LATIN1 || !l.controls) { return LORAC_OK; }
    while (!is_control(bytes[d->at])) { // iconv takes them for control characters
        d->at++;
    }
    return refuse(d, err);
}

/* ---- decoding ---- */

/* A block at a time: it ends with a whole character. */
static enum lorac_status convert(struct decoder *d, struct lorac_err *err)
{
    char block[LORAC_DECODE_BLOCK];
    enum lorac_status st = LORAC_OK;
    size_t kept = 0; // pages from here on are in memory
    while (d->at < d->t->size && !st) {
        char *from = (char *)(uintptr_t)(d->t->data + d->at); // iconv does not write there
        char *to = block;
        size_t left = d->t->size - d->at;
        size_t room = sizeof block;
        bool fits = iconv(d->iconv, &from, &left, &to, &room) != (size_t)-1 || errno == E2BIG;
        d->at = d->t->size - left;
        if (!fits) { return refuse(d, err); }
        st = lorac_scratch_write(d->fd, block, sizeof block - room, d->n, err);
        d->n += sizeof block - room;
        if (d->at - kept < LORAC_MAP_READ) { continue; }
        lorac_map_forget(&d->t->map);
        kept = d->at;
    }
    return st;
}

/* All of it as the map of a file in the folder `dir`. */
static enum lorac_status convert_all(struct lorac_map *out, struct decoder *d, const char *dir,
                                     struct lorac_err *err)
{
    enum lorac_status st = lorac_scratch_open(&d->fd, dir, 0, err);
    if (!st) { st = convert(d, err); }
    if (!st) { st = lorac_scratch_map(out, d->fd, d->n, err); }
    if (st == LORAC_EIO) {
        lorac_err_prefix(err,
                         "%s: its text as UTF-8 goes to a file in %s (TMPDIR sets another "
                         "folder): ",
                         d->t->file, dir);
    }
    lorac_scratch_close(d->fd);
    return st;
}

enum lorac_status lorac_table_decode(struct lorac_table *t, struct lorac_err *err)
{
    static const char *const utf16[] = {[LITTLE] = "UTF-16LE", [BIG] = "UTF-16BE"};
    static const char *const codes[LORAC_N_ENCODINGS] = {
        [LORAC_ENCODING_LATIN1] = "ISO-8859-1", [LORAC_ENCODING_WINDOWS1252] = "WINDOWS-1252"};
    struct decoder d = {.t = t, .fd = -1};
    struct lorac_map map = {0};
    if (t->size == 0) { return LORAC_OK; }
    if (t->format.encoding == LORAC_ENCODING_UTF16) { d.order = order_of(t->data, t->size); }
    enum lorac_status st = check_look(&d, err);
    if (st || t->format.encoding == LORAC_ENCODING_UTF8) { return st; }
    const char *code = d.order ? utf16[d.order] : codes[t->format.encoding];
    d.iconv = iconv_open("UTF-8", code);
    if (d.iconv == (iconv_t)-1) {
        return lorac_fail(err, LORAC_ENOTSUP,
                          "%s: the system's iconv does not know %s; convert the file to UTF-8",
                          t->file, code);
    }
    st = convert_all(&map, &d, lorac_scratch_dir(), err);
    (void)iconv_close(d.iconv);
    if (st) { return st; }
    lorac_map_close(&t->map);
    t->map = map;
    t->data = (const char *)map.data;
    t->size = map.size;
    return LORAC_OK;
}
