/* encoding.c - tables as spreadsheets write them: Latin-1, Windows-1252, UTF-16. iconv makes UTF-8
 * of them; what it takes without a word although it is something else is refused here. See
 * encoding.h and datasets.h. */
#include "datasets/encoding.h"

#include "base/core/mem.h"

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

static struct look look_at(const char *bytes, size_t n)
{
    struct look l = {0};
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bytes[i];
        l.zeros += c == 0;
        l.letters += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        l.high += c >= 0x80;
        l.controls += c >= 0x80 && c <= 0x9F;
    }
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t u = 0;
        utf8proc_ssize_t k = 1;
        if ((unsigned char)bytes[i] >= 0x80) {
            size_t left = n - i < 4 ? n - i : 4;
            k = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, (utf8proc_ssize_t)left, &u);
            l.good += k > 0;
            l.bad += k <= 0;
        }
        i += k > 0 ? (size_t)k : 1;
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
    struct look l = look_at(bytes, n);
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
    struct look l = look_at(bytes, n);
    enum lorac_encoding seen = lorac_encoding_guess(bytes, n);
    if (seen) { return hints[seen]; }
    return is_utf8(&l)
               ? ", as all around it is (is the file damaged?)"
               : "; the file is of another encoding, and not Latin-1: iconv -f NAME -t UTF-8 "
                 "makes UTF-8 of it";
}

/* ---- refusals ---- */

struct decoder {
    const char *file, *bytes;
    size_t n, at; // of the bytes
    char *out;    // (n_out) UTF-8, owned
    size_t n_out, cap;
    enum lorac_encoding encoding;
    iconv_t iconv;
};

/* "FILE:LINE:COLUMN: " of what is decoded so far, in front of the message. */
static void add_place(struct lorac_err *err, const struct decoder *d)
{
    unsigned long long line = 1;
    unsigned long long column = 1;
    size_t begin = starts_with(d->out, d->n_out, "\xEF\xBB\xBF", 3) ? 3 : 0;
    for (size_t i = begin; i < d->n_out; i++) {
        bool pair = d->out[i] == '\r' && i + 1 < d->n_out && d->out[i + 1] == '\n';
        if ((d->out[i] == '\n' || d->out[i] == '\r') && !pair) {
            line++;
            column = 1;
        } else if (((unsigned char)d->out[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    lorac_err_prefix(err, "%s:%llu:%llu: ", d->file, line, column);
}

static enum lorac_status refuse(const struct decoder *d, struct lorac_err *err)
{
    unsigned char c = d->at < d->n ? (unsigned char)d->bytes[d->at] : 0;
    if (d->encoding == LORAC_ENCODING_UTF16) {
        (void)lorac_fail(err, LORAC_EFORMAT, "half a character of UTF-16, expected a whole one");
    } else if (d->encoding == LORAC_ENCODING_LATIN1) {
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
static enum lorac_status check_look(const struct decoder *d, enum order order,
                                    struct lorac_err *err)
{
    const char *asked = names[d->encoding];
    if (starts_with(d->bytes, d->n, "\xFF\xFE\0\0", 4) ||
        starts_with(d->bytes, d->n, "\0\0\xFE\xFF", 4)) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s:1:1: the byte order mark of UTF-32, expected UTF-8; convert the file "
                          "with iconv -f UTF-32 -t UTF-8",
                          d->file);
    }
    if (d->encoding != LORAC_ENCODING_UTF16 && is_marked_utf16(d->bytes, d->n)) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s:1:1: the byte order mark of UTF-16, expected %s; write "
                          "data.format.encoding: utf-16",
                          d->file, d->encoding == LORAC_ENCODING_UTF8 ? "UTF-8" : asked);
    }
    if (d->encoding == LORAC_ENCODING_UTF8) { return LORAC_OK; }
    struct look l = look_at(d->bytes, d->n);
    bool utf16 = d->encoding == LORAC_ENCODING_UTF16;
    if (utf16 ? !order : is_utf8(&l) && l.good) {
        return lorac_fail(
            err, LORAC_EFORMAT, "%s: is %s, but data.format.encoding says %s; write %s", d->file,
            utf16 ? "not UTF-16" : "UTF-8", asked, names[lorac_encoding_guess(d->bytes, d->n)]);
    }
    return LORAC_OK;
}

/* ---- decoding ---- */

static enum lorac_status no_memory(const struct decoder *d, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its text as UTF-8", d->file);
}

static enum lorac_status convert(struct decoder *d, size_t end, struct lorac_err *err)
{
    while (d->at < end) {
        char *grown = lorac_mem_grow(d->out, d->n_out, &d->cap, d->n_out + (end - d->at) + 8, 1);
        if (!grown) { return no_memory(d, err); }
        d->out = grown;
        char *from = (char *)(uintptr_t)(d->bytes + d->at); // iconv does not write there
        char *to = d->out + d->n_out;
        size_t left = end - d->at;
        size_t room = d->cap - d->n_out;
        errno = 0;
        size_t k = iconv(d->iconv, &from, &left, &to, &room);
        int why = errno;
        d->at = end - left;
        d->n_out = d->cap - room;
        if (k == (size_t)-1 && why != E2BIG) { return refuse(d, err); }
    }
    return LORAC_OK;
}

/* All of it, up to the first byte that Latin-1 would take for a control character. */
static enum lorac_status convert_all(struct decoder *d, struct lorac_err *err)
{
    size_t end = d->n;
    for (size_t i = d->at; d->encoding == LORAC_ENCODING_LATIN1 && i < d->n; i++) {
        unsigned char c = (unsigned char)d->bytes[i];
        if (c < 0x80 || c > 0x9F) { continue; }
        end = i;
        break;
    }
    enum lorac_status st = convert(d, end, err);
    return st || end == d->n ? st : refuse(d, err);
}

enum lorac_status lorac_text_to_utf8(char **out, size_t *n_out, const char *bytes, size_t n,
                                     enum lorac_encoding encoding, const char *file,
                                     struct lorac_err *err)
{
    struct decoder d = {.file = file, .bytes = bytes, .n = n, .encoding = encoding};
    enum order order = encoding == LORAC_ENCODING_UTF16 ? order_of(bytes, n) : NO_ORDER;
    static const char *const utf16[] = {[LITTLE] = "UTF-16LE", [BIG] = "UTF-16BE"};
    static const char *const codes[LORAC_N_ENCODINGS] = {
        [LORAC_ENCODING_LATIN1] = "ISO-8859-1", [LORAC_ENCODING_WINDOWS1252] = "WINDOWS-1252"};
    *out = NULL;
    *n_out = 0;
    if (n == 0) { return LORAC_OK; }
    enum lorac_status st = check_look(&d, order, err);
    if (st || encoding == LORAC_ENCODING_UTF8) { return st; }
    const char *code = order ? utf16[order] : codes[encoding];
    d.iconv = iconv_open("UTF-8", code);
    if (d.iconv == (iconv_t)-1) {
        return lorac_fail(err, LORAC_ENOTSUP,
                          "%s: the system's iconv does not know %s; convert the file to UTF-8",
                          file, code);
    }
    st = convert_all(&d, err);
    (void)iconv_close(d.iconv);
    if (st) {
        lorac_mem_free(d.out);
        return st;
    }
    *out = d.out;
    *n_out = d.n_out;
    return LORAC_OK;
}
