/* passage.c - what a head reads of a row: a text, a pair, or words; see passages.h. */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "datasets/dataset.h"

#include <string.h>

struct lorac_passages {
    struct lorac_template *form;
    const struct lorac_tokenizer *tokenizer; // borrowed
    const struct lorac_pair_form *pair;      // the tokenizer's; NULL: one text
    struct lorac_ids begin, end;             // what stands around one text
    size_t words;                            // its variable; SIZE_MAX: a text
    size_t max_length;
    enum lorac_on_long on_too_long;
};

/* ---- parts of a cell ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static enum lorac_status add_item(struct lorac_items *items, const char *at, size_t n,
                                  struct lorac_err *err)
{
    while (n && is_blank(at[0])) {
        at++;
        n--;
    }
    while (n && is_blank(at[n - 1])) {
        n--;
    }
    if (n == 0) { return LORAC_OK; }
    struct lorac_cell *grown =
        lorac_mem_grow(items->at, items->n, &items->cap, items->n + 1, sizeof *grown);
    if (!grown) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the parts of a cell"); }
    items->at = grown;
    grown[items->n++] = (struct lorac_cell){at, n};
    return LORAC_OK;
}

/* Elements as they would stand in cells of their own. Their text may move while it grows, so they
 * are found in it afterwards. */
static enum lorac_status read_list(struct lorac_items *items, const struct lorac_cell *cell,
                                   struct lorac_err *err)
{
    struct lorac_json root = {0};
    size_t i = 0;
    json_t *value = NULL;
    enum lorac_status st = lorac_json_parse(&root, cell->at, cell->n, "the list", err);
    if (!st && !json_is_array(root.value)) { st = lorac_json_fail(&root, "a list", err); }
    if (st) { goto done; }
    json_array_foreach(root.value, i, value)
    {
        if (json_is_string(value)) {
            lorac_buf_add(&items->text, json_string_value(value), json_string_length(value));
        } else if (json_is_number(value)) {
            lorac_json_text(&items->text, value, JSON_ENCODE_ANY);
        } else {
            struct lorac_json at = lorac_json_at(&root, i);
            st = lorac_json_fail(&at, "text or a number", err);
            goto done;
        }
        lorac_buf_add(&items->text, "", 1); // its end: no text of JSON lines holds a NUL
    }
    if (items->text.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for the parts of a cell");
    }
    for (size_t at = 0; at < items->text.n && !st; at += strlen(items->text.at + at) + 1) {
        st = add_item(items, items->text.at + at, strlen(items->text.at + at), err);
    }
done:
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_items_read(struct lorac_items *items, const struct lorac_cell *cell,
                                   bool list, const char *separator, struct lorac_err *err)
{
    size_t n = separator ? strlen(separator) : 1;
    size_t from = 0;
    enum lorac_status st = LORAC_OK;
    items->n = 0;
    lorac_buf_clear(&items->text);
    if (list) { return read_list(items, cell, err); }
    for (size_t i = 0; i <= cell->n && !st;) {
        bool rest = cell->n - i >= n;
        bool ends =
            i == cell->n ||
            (rest && (separator ? memcmp(cell->at + i, separator, n) == 0 : is_blank(cell->at[i])));
        if (ends) {
            st = add_item(items, cell->at + from, i - from, err);
            from = i + n;
        }
        i += ends ? n : 1;
    }
    return st;
}

void lorac_items_free(struct lorac_items *items)
{
    lorac_mem_free(items->at);
    lorac_buf_free(&items->text);
    *items = (struct lorac_items){0};
}

/* ---- open ---- */

/* Words stand alone in their cell: text beside it would have no word. */
static enum lorac_status find_words(struct lorac_passages *p,
                                    const struct lorac_passages_options *o, struct lorac_err *err)
{
    size_t used = 0;
    for (size_t v = 0; v < o->n_variables; v++) {
        if (!lorac_template_uses(p->form, v)) { continue; }
        used++;
        p->words = v;
    }
    bool alone = used == 1 && strlen(o->text) == strlen(o->variables[p->words]) + 2;
    if (alone && !p->pair) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "template.prompt: '%.60s', expected one variable alone, the column of words "
                      "that have tags: \"{words}\"",
                      o->text);
}

static enum lorac_status find_frame(struct lorac_passages *p, const char *text,
                                    struct lorac_err *err)
{
    const struct lorac_tokenizer *t = p->tokenizer;
    enum lorac_status st = LORAC_OK;
    if (lorac_template_has_completion(p->form)) {
        p->pair = lorac_tokenizer_pair(t);
        if (!p->pair) {
            return lorac_fail(err, LORAC_EUSER,
                              "template.pair: the tokenizer frames no pairs of texts; expected "
                              "one text: template.prompt: \"%.60s ...\" with the second behind it",
                              text);
        }
    }
    st = lorac_encode(&p->begin, t, NULL, 0, LORAC_ENCODE_BEGINS, err);
    return st ? st : lorac_encode(&p->end, t, NULL, 0, LORAC_ENCODE_ENDS, err);
}

enum lorac_status lorac_passages_open(struct lorac_passages **out,
                                      const struct lorac_passages_options *o, struct lorac_err *err)
{
    const struct lorac_template_options form = {.prompt = o->text,
                                                .completion = o->pair,
                                                .pair = true,
                                                .variables = o->variables,
                                                .n_variables = o->n_variables,
                                                .hint = o->hint};
    *out = NULL;
    struct lorac_passages *p = lorac_mem_new(1, sizeof *p);
    if (!p) { return lorac_fail(err, LORAC_ENOMEM, "no memory for passages"); }
    p->tokenizer = o->tokenizer;
    p->words = SIZE_MAX;
    p->max_length = o->max_length;
    p->on_too_long = o->on_too_long;
    enum lorac_status st = lorac_template_parse(&p->form, &form, err);
    if (!st && !lorac_template_has_prompt(p->form)) {
        st = lorac_fail(err, LORAC_EUSER, "template.prompt: empty, expected what the head reads");
    }
    if (!st) { st = find_frame(p, o->text, err); }
    if (!st && o->words) { st = find_words(p, o, err); }
    if (st) {
        lorac_passages_close(p);
        p = NULL;
    }
    *out = p;
    return st;
}

void lorac_passages_close(struct lorac_passages *p)
{
    if (!p) { return; }
    lorac_template_free(p->form);
    lorac_ids_free(&p->begin);
    lorac_ids_free(&p->end);
    lorac_mem_free(p);
}

const struct lorac_template *lorac_passages_template(const struct lorac_passages *p)
{
    return p->form;
}

size_t lorac_passages_words(const struct lorac_passages *p)
{
    return p->words;
}

/* ---- make ---- */

/* Which `n` of the ids go: those from `at` on. */
static void cut(struct lorac_ids *ids, size_t at, size_t n)
{
    if (ids->n == 0) { return; } // words, where there are none
    memmove(ids->at + at, ids->at + at + n, (ids->n - at - n) * sizeof *ids->at);
    ids->n -= n;
}

/* As long as the recipe lets it be. Tokens around the text stay, and one of it at least. */
static void cut_text(struct lorac_passage *x, const struct lorac_passages *p)
{
    size_t over = x->ids.n > p->max_length ? x->ids.n - p->max_length : 0;
    size_t front = p->begin.n;
    size_t end = p->end.n;
    bool from_end = p->on_too_long == LORAC_LONG_TRUNCATE_END;
    bool cuts = from_end || p->on_too_long == LORAC_LONG_TRUNCATE_PROMPT;
    x->cut = over;
    if (over == 0) { return; }
    while (front < x->ids.n && x->ids.at[front] == lorac_tokenizer_bos(p->tokenizer)) {
        front++; // the template's own
    }
    if (!cuts || x->ids.n <= front + end + over) {
        x->cut = SIZE_MAX;
        return;
    }
    size_t at = from_end ? x->ids.n - end - over : front;
    cut(&x->ids, at, over);
    cut(&x->words, at, over);
}

/* Of a pair the longer text gives first, until both are as long: "longest_first" of tokenizers. */
static void cut_pair(struct lorac_passage *x, const struct lorac_passages *p)
{
    size_t around = p->pair->ids[0].n + p->pair->ids[1].n + p->pair->ids[2].n;
    size_t all = around + x->side[0].n + x->side[1].n;
    bool from_end = p->on_too_long == LORAC_LONG_TRUNCATE_END;
    bool cuts = from_end || p->on_too_long == LORAC_LONG_TRUNCATE_PROMPT;
    x->cut = all > p->max_length ? all - p->max_length : 0;
    if (x->cut == 0) { return; }
    size_t room = p->max_length > around ? p->max_length - around : 0;
    size_t longer = x->side[1].n >= x->side[0].n;
    size_t keep[2] = {x->side[0].n, x->side[1].n};
    if (keep[1 - longer] > room / 2) {
        keep[1 - longer] = room / 2;
        keep[longer] = room / 2 + room % 2;
    } else {
        keep[longer] = room - keep[1 - longer];
    }
    if (!cuts || keep[0] == 0 || keep[1] == 0) {
        x->cut = SIZE_MAX;
        return;
    }
    for (size_t s = 0; s < 2; s++) {
        cut(&x->side[s], from_end ? keep[s] : 0, x->side[s].n - keep[s]);
    }
}

static enum lorac_status make_pair(struct lorac_passage *x, const struct lorac_passages *p,
                                   const struct lorac_cell *values, struct lorac_err *err)
{
    struct lorac_text texts[LORAC_MAX_PARTS];
    enum lorac_status st = LORAC_OK;
    for (size_t s = 0; s < 2 && !st; s++) {
        size_t n = s ? lorac_template_completion(texts, p->form, values)
                     : lorac_template_prompt(texts, p->form, values);
        x->side[s].n = 0;
        st = lorac_encoder_encode(&x->side[s], x->encoder, texts, n, LORAC_ENCODE_ALONE, err);
    }
    if (st) { return st; }
    cut_pair(x, p);
    return lorac_pair_join(&x->ids, &x->types, p->pair, &x->side[0], &x->side[1], err);
}

static enum lorac_status append(struct lorac_passage *x, const struct lorac_ids *ids,
                                struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < ids->n && !st; i++) {
        st = lorac_ids_add(&x->ids, ids->at[i], err);
        if (!st) { st = lorac_ids_add(&x->words, LORAC_NO_LABEL, err); }
    }
    return st;
}

static enum lorac_status add_word(struct lorac_passage *x, size_t w, struct lorac_err *err)
{
    const struct lorac_cell *word = &x->items.at[w];
    const struct lorac_text texts[] = {{.at = " ", .n = 1}, {.at = word->at, .n = word->n}};
    char shown[64];
    size_t first = x->ids.n;
    enum lorac_status st =
        lorac_encoder_encode(&x->ids, x->encoder, texts, 2, LORAC_ENCODE_CONTINUES, err);
    if (!st && x->ids.n == first) {
        st = lorac_fail(err, LORAC_EFORMAT, "word %zu, '%s', has no token, so no tag stands for it",
                        w + 1, lorac_visible(shown, sizeof shown, word->at, word->n));
    }
    for (size_t i = first; i < x->ids.n && !st; i++) {
        st = lorac_ids_add(&x->words, i == first ? (int32_t)w : LORAC_NO_LABEL, err);
    }
    return st;
}

static enum lorac_status make_words(struct lorac_passage *x, const struct lorac_passages *p,
                                    const struct lorac_cell *cell, bool list, struct lorac_err *err)
{
    enum lorac_status st = lorac_items_read(&x->items, cell, list, NULL, err);
    x->words.n = 0;
    x->n_words = x->items.n;
    if (!st) { st = append(x, &p->begin, err); }
    for (size_t w = 0; w < x->items.n && !st; w++) {
        st = add_word(x, w, err);
    }
    if (!st) { st = append(x, &p->end, err); }
    if (!st) { cut_text(x, p); }
    return st;
}

enum lorac_status lorac_passage_make(struct lorac_passage *x, const struct lorac_passages *p,
                                     const struct lorac_cell *values, bool list,
                                     struct lorac_err *err)
{
    struct lorac_text texts[LORAC_MAX_PARTS];
    x->ids.n = x->types.n = x->words.n = 0;
    x->n_words = x->cut = 0;
    enum lorac_status st = lorac_encoder_for(&x->encoder, p->tokenizer, err);
    if (st) { return st; }
    if (p->pair) { return make_pair(x, p, values, err); }
    if (p->words != SIZE_MAX) { return make_words(x, p, &values[p->words], list, err); }
    size_t n = lorac_template_prompt(texts, p->form, values);
    st = lorac_encoder_encode(&x->ids, x->encoder, texts, n,
                              LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS, err);
    if (!st) { cut_text(x, p); }
    return st;
}

void lorac_passage_free(struct lorac_passage *x)
{
    lorac_ids_free(&x->ids);
    lorac_ids_free(&x->types);
    lorac_ids_free(&x->words);
    lorac_ids_free(&x->side[0]);
    lorac_ids_free(&x->side[1]);
    lorac_items_free(&x->items);
    lorac_encoder_free(x->encoder);
    *x = (struct lorac_passage){0};
}
