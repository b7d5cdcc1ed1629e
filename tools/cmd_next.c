/* cmd_next.c - `lorac next`: how likely is each token to come next, or to stand at a mask, without
 * and with adapters? */
#define _GNU_SOURCE // wcwidth
#include "tools/verbs.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum { TOP = 10, TOKEN_COLUMNS = 24, NUMBER_COLUMNS = 8, LEAST_BAR = 4 };

/* A token and its probability, in the distribution where it is larger. */
struct rank {
    double p;
    int32_t id;
};

/* The distributions at one row of a prompt: of the base, and where there are adapters of the two
 * together. */
struct next {
    struct bench *b;
    const struct lorac_ids *prompt;
    int32_t mask;       // an encoder's: its rows are shown, one after the other; -1: the last row
    size_t row, shown;  // this one, and how many before it
    size_t V;           // tokens
    double *p[2];       // (V) probabilities
    double entropy[2];  // in nats; exp of it is the perplexity
    struct rank *order; // (V) the likeliest first
    size_t top;         // of them to show
    bool utf8;          // whether the user's locale is
};
static const char *const names[] = {"base", "adapter"};

static size_t sides(const struct next *x)
{
    return x->b->stack.n ? 2 : 1;
}

/* p (V) written: softmax of the logits. Its entropy in nats, or NaN. */
static double to_probabilities(double *p, const float *logits, size_t V)
{
    double largest = -(double)INFINITY;
    double sum = 0.0;
    double entropy = 0.0;
    for (size_t v = 0; v < V; v++) {
        largest = fmax(largest, (double)logits[v]);
    }
    for (size_t v = 0; v < V; v++) {
        p[v] = exp((double)logits[v] - largest);
        sum += p[v];
    }
    for (size_t v = 0; v < V; v++) {
        p[v] /= sum;
        entropy -= p[v] == 0.0 ? 0.0 : p[v] * log(p[v]);
    }
    return entropy;
}

static enum lorac_status take_memory(struct next *x, struct lorac_err *err)
{
    x->V = x->b->model->config.V;
    x->order = lorac_mem_new(x->V, sizeof *x->order);
    bool all = x->order != NULL;
    for (size_t i = 0; i < sides(x); i++) {
        x->p[i] = lorac_mem_new(x->V, sizeof *x->p[i]);
        all = all && x->p[i];
    }
    return all ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for %zu tokens", x->V);
}

/* The first row from `from` on that is shown; as many as there are tokens: none. */
static size_t find_row(const struct next *x, size_t from)
{
    const struct lorac_ids *ids = x->prompt;
    if (x->mask < 0) { return from < ids->n ? ids->n - 1 : from; }
    while (from < ids->n && ids->at[from] != x->mask) {
        from++;
    }
    return from;
}

/* Both distributions: the same ids through the base, and through base and adapters. */
static enum lorac_status think(struct next *x, struct lorac_err *err)
{
    size_t N = x->prompt->n;
    struct lorac_pass_options o = {.max_rows = N};
    struct lorac_batch *batch = NULL;
    struct lorac_pass *pass = NULL;
    float *logits = lorac_mem_new(x->V, sizeof *logits); // (1,V)
    enum lorac_status st = LORAC_OK;
    if (!logits) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for %zu logits", x->V); }
    if (!st) { st = lorac_batch_new(&batch, N, 1, 1, err); }
    if (!st) { st = lorac_pass_new(&pass, x->b->model, NULL, &o, err); }
    if (!st) {
        lorac_batch_clear(batch);
        (void)lorac_batch_add(batch, x->prompt->at, N, -1);
        lorac_batch_want_logits(batch, x->row);
    }
    for (size_t i = 0; i < sides(x) && !st; i++) {
        if (i) { st = lorac_pass_use(pass, bench_socket(x->b), err); }
        if (!st) { st = lorac_pass_forward(pass, batch, NULL, err); }
        if (st) { break; }
        lorac_pass_logits(pass, batch, logits);
        x->entropy[i] = to_probabilities(x->p[i], logits, x->V);
        if (!isfinite(x->entropy[i])) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "the probabilities are not finite: are the weights or the adapter "
                            "damaged?");
        }
    }
    lorac_pass_free(pass);
    lorac_batch_free(batch);
    lorac_mem_free(logits);
    return st;
}

/* Likelier first, ties by id. */
static int compare(const void *a, const void *b)
{
    const struct rank *x = a;
    const struct rank *y = b;
    if (x->p != y->p) { return x->p > y->p ? -1 : 1; }
    return (x->id > y->id) - (x->id < y->id);
}

static void put_in_order(struct next *x)
{
    for (size_t v = 0; v < x->V; v++) {
        double p = sides(x) == 2 ? fmax(x->p[0][v], x->p[1][v]) : x->p[0][v];
        x->order[v] = (struct rank){p, (int32_t)v};
    }
    qsort(x->order, x->V, sizeof *x->order, compare);
}

/* ---- as text ---- */

/* Length of the UTF-8 character at `s`, *cp written; 0: none. */
static size_t read_character(uint32_t *cp, const char *s, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *u = (const unsigned char *)s;
    size_t length = u[0] < 0x80 ? 1 : u[0] < 0xC0 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    if (length == 0 || length > n || u[0] > 0xF4) { return 0; }
    *cp = length == 1 ? u[0] : u[0] & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xC0U) != 0x80) { return 0; }
        *cp = *cp << 6 | (u[i] & 0x3FU);
    }
    bool valid = *cp >= least[length] && *cp <= 0x10FFFF && (*cp < 0xD800 || *cp > 0xDFFF);
    return valid ? length : 0;
}

/* Terminal columns of a character; 0: it shows nothing of its own, or is a space that looks like
 * none. */
static size_t width_of(uint32_t cp, bool utf8)
{
    bool space = cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200F) || cp == 0x202F ||
                 cp == 0x205F || cp == 0x3000 || cp == 0x2028 || cp == 0x2029;
    int w = utf8 ? wcwidth((wchar_t)cp) : 1;
    return cp < ' ' || cp == 127 || space || w < 0 ? 0 : (size_t)w;
}

/* Append `n` bytes as they can be read: escapes for what would not be seen. Returns the columns. */
static size_t add_readable(struct lorac_buf *b, const char *s, size_t n, bool utf8)
{
    static const char plain[] = "\n\r\t\"\\";
    static const char letters[] = "nrt\"\\";
    size_t columns = 0;
    for (size_t i = 0, length = 0; i < n; i += length) {
        char text[16];
        uint32_t cp = 0;
        length = read_character(&cp, s + i, n - i);
        const char *special = length == 1 && cp ? strchr(plain, (int)cp) : NULL;
        size_t width = length ? width_of(cp, utf8) : 0;
        if (special) {
            (void)snprintf(text, sizeof text, "\\%c", letters[special - plain]);
        } else if (width) {
            lorac_buf_add(b, s + i, length);
            columns += width;
            continue;
        } else if (length > 1) {
            (void)snprintf(text, sizeof text, "\\u{%X}", (unsigned)cp);
        } else {
            (void)snprintf(text, sizeof text, "\\x%02X", (unsigned char)s[i]);
            length = 1;
        }
        lorac_buf_str(b, text);
        columns += strlen(text);
    }
    return columns;
}

/* Append a token: in quotes, or bare where it is a special one. Returns the columns. */
static enum lorac_status add_token(struct lorac_buf *b, size_t *columns, const struct next *x,
                                   int32_t id, struct lorac_err *err)
{
    struct lorac_buf bytes = {0};
    *columns = 0;
    if ((size_t)id >= lorac_tokenizer_size(x->b->tokenizer) ||
        !lorac_token_text(x->b->tokenizer, id)) { // rows that only pad the matrix
        *columns = (size_t)snprintf(NULL, 0, "(id %d, no token)", id);
        lorac_buf_printf(b, "(id %d, no token)", id);
        return LORAC_OK;
    }
    bool special = lorac_token_is_special(x->b->tokenizer, id);
    enum lorac_status st = lorac_token_bytes(&bytes, x->b->tokenizer, id, err);
    if (!st) {
        lorac_buf_str(b, special ? "" : "\"");
        *columns = add_readable(b, bytes.at ? bytes.at : "", bytes.n, x->utf8) + (special ? 0 : 2);
        lorac_buf_str(b, special ? "" : "\"");
    }
    lorac_buf_free(&bytes);
    return st;
}

/* A bar of `share` (0..1) of `width` columns, padded to the width. */
static void add_bar(struct lorac_buf *b, double share, size_t width, bool utf8)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    size_t n = (size_t)(share * 8.0 * (double)width + 0.5);
    size_t whole = utf8 ? n / 8 : (n + 4) / 8;
    for (size_t i = 0; i < whole; i++) {
        lorac_buf_str(b, utf8 ? "█" : "#");
    }
    const char *part = utf8 ? eighths[n % 8] : "";
    lorac_buf_str(b, part);
    lorac_buf_printf(b, "%*s", (int)(width - whole - (*part != '\0')), "");
}

static void add_padding(struct lorac_buf *b, size_t columns, size_t width)
{
    lorac_buf_printf(b, "%*s", columns < width ? (int)(width - columns) : 0, "");
}

/* Print what has been put together, without the blanks at its end. */
static void print_line(struct lorac_buf *line)
{
    while (line->n && line->at[line->n - 1] == ' ') {
        line->n--;
    }
    printf("%.*s\n", (int)line->n, line->at ? line->at : "");
    lorac_buf_clear(line);
}

/* What the model read: at the most its last columns, so that it stays one line. */
static enum lorac_status print_prompt(struct lorac_buf *line, const struct next *x, size_t width,
                                      struct lorac_err *err)
{
    struct lorac_buf text = {0};
    enum lorac_status st =
        lorac_decode(&text, x->b->tokenizer, x->prompt->at, x->prompt->n, false, err);
    size_t room = width - 32;
    size_t from = text.n > room ? text.n - room : 0;
    while (from < text.n && (text.at[from] & 0xC0) == 0x80) {
        from++;
    }
    lorac_buf_printf(line, "prompt   %s\"", from ? "..." : "");
    if (text.n) { (void)add_readable(line, text.at + from, text.n - from, x->utf8); }
    lorac_buf_printf(line, "\"  (%zu tokens)", x->prompt->n);
    if (!st) { print_line(line); }
    lorac_buf_free(&text);
    return st;
}

/* A row for each of the likeliest tokens; bars are relative to the largest probability of all. */
static enum lorac_status print_rows(struct lorac_buf *line, const struct next *x, size_t width,
                                    struct lorac_err *err)
{
    size_t each = (width - TOKEN_COLUMNS) / sides(x) - NUMBER_COLUMNS - 2;
    size_t bar = each > LEAST_BAR ? each : LEAST_BAR;
    double scale = 1.0 / x->order[0].p;
    double rest[2] = {1.0, 1.0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < x->top && !st; i++) {
        size_t columns = 0;
        st = add_token(line, &columns, x, x->order[i].id, err);
        add_padding(line, columns, TOKEN_COLUMNS);
        for (size_t k = 0; k < sides(x); k++) {
            double p = x->p[k][x->order[i].id];
            rest[k] -= p;
            lorac_buf_printf(line, "%*.4f ", NUMBER_COLUMNS - 1, p);
            add_bar(line, p * scale, bar, x->utf8);
            lorac_buf_str(line, "  ");
        }
        if (!st) { print_line(line); }
    }
    char number[32];
    char text[64];
    int n = snprintf(text, sizeof text, "%s others", show_count(number, x->V - x->top));
    lorac_buf_str(line, text);
    add_padding(line, (size_t)n, TOKEN_COLUMNS);
    for (size_t k = 0; k < sides(x); k++) {
        lorac_buf_printf(line, "%*.4f ", NUMBER_COLUMNS - 1, fmax(rest[k], 0.0));
        add_padding(line, 0, bar + 2);
    }
    if (!st) { print_line(line); }
    return st;
}

/* What stands at one row; the first is told what was read. */
static enum lorac_status print_set(struct lorac_buf *line, const struct next *x,
                                   struct lorac_err *err)
{
    size_t width = show_columns(stdout);
    if (width < 60) { width = 60; }
    bool one = x->shown == 0 && find_row(x, x->row + 1) == x->prompt->n;
    enum lorac_status st = x->shown ? LORAC_OK : print_prompt(line, x, width, err);
    if (!st && !one) { printf("\nmask %-3zu token %zu\n", x->shown + 1, x->row + 1); }
    for (size_t k = 0; k < sides(x) && !st; k++) {
        printf("%-8s entropy %.4f nats, perplexity %.4g\n", names[k], x->entropy[k],
               exp(x->entropy[k]));
    }
    if (!st) {
        size_t each = (width - TOKEN_COLUMNS) / sides(x);
        lorac_buf_str(line, "token");
        add_padding(line, 5, TOKEN_COLUMNS + 1);
        for (size_t k = 0; k < sides(x); k++) {
            lorac_buf_str(line, names[k]);
            add_padding(line, strlen(names[k]), each);
        }
        print_line(line);
        st = print_rows(line, x, width, err);
    }
    if (!st && line->no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a line"); }
    return st;
}

/* ---- as JSON ---- */

/* "token" as the vocabulary writes it, "text" as it reads (bytes that are no character as U+FFFD).
 */
static enum lorac_status add_json(struct out *j, const struct next *x, int32_t id,
                                  struct lorac_err *err)
{
    struct lorac_buf text = {0};
    const char *token = NULL;
    enum lorac_status st = LORAC_OK;
    if ((size_t)id < lorac_tokenizer_size(x->b->tokenizer)) {
        token = lorac_token_text(x->b->tokenizer, id);
    }
    if (token) { st = lorac_decode(&text, x->b->tokenizer, &id, 1, false, err); }
    out_begin(j, NULL, "{}");
    out_count(j, "id", (size_t)id);
    out_str(j, "token", token ? token : "");
    out_text(j, "text", text.at ? text.at : "", text.n);
    for (size_t k = 0; k < sides(x); k++) {
        out_real(j, names[k], x->p[k][id]);
    }
    out_end(j);
    lorac_buf_free(&text);
    return st;
}

/* What was read; of an encoder the array of its masks is left open. */
static enum lorac_status begin_json(struct out *j, const struct next *x, struct lorac_err *err)
{
    struct lorac_buf prompt = {0};
    enum lorac_status st =
        lorac_decode(&prompt, x->b->tokenizer, x->prompt->at, x->prompt->n, false, err);
    out_text(j, "prompt", prompt.at ? prompt.at : "", prompt.n);
    out_ids(j, "prompt_ids", x->prompt->at, x->prompt->n);
    out_count(j, "vocabulary", x->V);
    if (x->mask >= 0) { out_begin(j, "masks", "[]"); }
    lorac_buf_free(&prompt);
    return st;
}

static enum lorac_status add_set(struct out *j, const struct next *x, struct lorac_err *err)
{
    enum lorac_status st = x->shown ? LORAC_OK : begin_json(j, x, err);
    if (x->mask >= 0) {
        out_begin(j, NULL, "{}");
        out_count(j, "position", x->row);
    }
    for (size_t k = 0; k < sides(x); k++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s_entropy", names[k]);
        out_real(j, key, x->entropy[k]);
    }
    out_begin(j, x->mask >= 0 ? "tokens" : "next", "[]");
    for (size_t i = 0; i < x->top && !st; i++) {
        st = add_json(j, x, x->order[i].id, err);
    }
    out_end(j);
    if (x->mask >= 0) { out_end(j); }
    return st;
}

/* ---- the verb ---- */

bool draws_blocks(void)
{
    (void)setlocale(LC_CTYPE, "");                     // NOLINT(concurrency-mt-unsafe)
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0; // NOLINT(concurrency-mt-unsafe)
}

/* LORAC_EUSER: there is no row to show. */
static enum lorac_status check_prompt(struct next *x, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (x->b->model->config.bidirectional) { st = bench_mask(&x->mask, x->b, err); }
    if (!st && x->prompt->n == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "the prompt has no tokens, and this model's tokenizer puts none in front");
    }
    if (!st && find_row(x, 0) == x->prompt->n) {
        st = lorac_fail(err, LORAC_EUSER,
                        "the text has no mask: a %s guesses what is masked; write %s where a token "
                        "is to be guessed",
                        lorac_arch_type(x->b->model->config.arch),
                        lorac_token_text(x->b->tokenizer, x->mask));
    }
    return st;
}

int show_next(struct bench *b, const struct lorac_ids *prompt, size_t top, bool utf8, bool as_json)
{
    struct lorac_err err = {0};
    struct next x = {.b = b, .prompt = prompt, .mask = -1, .top = top, .utf8 = utf8};
    struct out j = {0};
    struct lorac_buf line = {0};
    enum lorac_status st = check_prompt(&x, &err);
    if (!st) { st = take_memory(&x, &err); }
    if (x.top > x.V) { x.top = x.V; }
    x.row = st ? prompt->n : find_row(&x, 0);
    while (x.row < prompt->n && !st) {
        st = think(&x, &err);
        if (st) { break; }
        put_in_order(&x);
        st = as_json ? add_set(&j, &x, &err) : print_set(&line, &x, &err);
        x.row = find_row(&x, x.row + 1);
        x.shown++;
    }
    while (j.open) {
        out_end(&j);
    }
    int code = st ? complain(&err) : as_json ? out_print(&j) : 0;
    if (!st && x.mask < 0) { note_next(b, x.order[0].id); }
    lorac_buf_free(&j.b);
    lorac_buf_free(&line);
    lorac_mem_free(x.order);
    lorac_mem_free(x.p[0]);
    lorac_mem_free(x.p[1]);
    return code;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct bench b = {0};
    struct lorac_ids prompt = {0};
    size_t top = TOP;
    enum lorac_status st = args_count(&top, a, "--top", &err);
    if (!st && top == 0) { st = lorac_fail(&err, LORAC_EUSER, "--top must be at least 1"); }
    if (st) {
        (void)complain(&err);
        return EXIT_USAGE;
    }
    bool utf8 = draws_blocks(); // before there are threads
    st = bench_open_for(&b, a, LORAC_TASK_LM, true, &err);
    if (!st) { st = bench_prompt(&prompt, &b, a, &err); }
    int code = st ? complain(&err) : show_next(&b, &prompt, top, utf8, args_has(a, "--json"));
    lorac_ids_free(&prompt);
    bench_close(&b);
    return code;
}

static const struct option options[] = {
    MODEL_OPTIONS,
    PROMPT_OPTIONS,
    CHAT_OPTIONS,
    {"--top", "N", "tokens to show (default: 10)", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_next = {
    .name = "next",
    .usage = "--model DIR [--adapter DIR[:SCALE]]... --prompt TEXT|- [--top N]",
    .summary = "show which tokens are likely to come next, or to stand at a mask",
    .about =
        "  lorac next --model DIR --prompt 'Once upon a'\n"
        "  lorac next --model DIR --adapter runs/sst2/best --prompt 'a fine film'\n"
        "  lorac next --model ENCODER --prompt 'the capital of Italy is [MASK].'\n\n"
        "With adapters, the base and both together stand side by side behind the same tokens: "
        "TEXT goes through the adapter's template as in lorac generate. Shown are the tokens "
        "that are likeliest in either; bars are relative to the largest probability. Of a token, "
        "\\n, \\x and \\u show what would not be seen, and a byte that is only part of a "
        "character.\n\n"
        "An encoder (bert, roberta, distilbert, modernbert) with its head of masked tokens guesses "
        "what is masked: TEXT holds the mask token of its tokenizer (as [MASK] or <mask>), once or "
        "several times, each shown by itself while the others stay masked.\n",
    .options = options,
    .run = run,
};
