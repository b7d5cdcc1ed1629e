/*
 * folder.c - what the files beside tokenizer.json add, as AutoTokenizer of transformers 5
 * (tokenization_utils_tokenizers.py) takes it:
 *   tokenizer_config.json    added tokens, the names of the special tokens
 *   special_tokens_map.json  names that tokenizer_config.json does not give
 *   generation_config.json, else config.json: the ids that end generation
 *
 * add_bos_token and add_eos_token count where there is no tokenizer.json (classes.c); beside one
 * its post-processor alone says what is put around a text (tokenization_utils_base.py,
 * _from_pretrained drops the two), and where they ask for something else that is told.
 *
 * do_lower_case, tokenize_chinese_chars and strip_accents count for BERT's classes, beside a
 * tokenizer.json, too (classes.c), and where they change it that is told.
 *
 * One difference: some classes build normaliser and pre-tokenizer (LlamaTokenizer) or
 * post-processor (GPTNeoXTokenizer) anew, whatever the file has. tokenizer.json is the truth here,
 * as where such keys are absent.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* transformers writes 10^30 for "no limit" (model_max_length), which JSON libraries refuse: whole
 * numbers of more than 18 digits lose the rest, and stay larger than any number that is read here.
 */
static void shorten_numbers(char *text, size_t n)
{
    bool in_string = false;
    for (size_t i = 0, digits = 0; i < n; i++) {
        if (in_string) {
            in_string = text[i] != '"';
            i += text[i] == '\\'; // and what it escapes
            continue;
        }
        in_string = text[i] == '"';
        digits = text[i] >= '0' && text[i] <= '9' ? digits + 1 : 0;
        const int next = i + 1 < n ? text[i + 1] : ' ';
        if (digits > 18 && strchr(",}] \n\r\t", next)) {
            memset(text + i - (digits - 1) + 18, ' ', digits - 18);
        }
    }
}

enum lorac_status lorac_read_file(struct lorac_json *root, char path[LORAC_PATH], const char *dir,
                                  const char *name, struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *root = (struct lorac_json){.file = lorac_path_in(path, dir, name)};
    if (!lorac_path_exists(path)) { return LORAC_OK; }
    enum lorac_status st = lorac_file_read(&text, &n, path, TOK_MAX_JSON, err);
    if (!st) {
        shorten_numbers(text, n);
        st = lorac_json_parse(root, text, n, path, err);
    }
    lorac_mem_free(text);
    if (!st && !json_is_object(root->value)) { st = lorac_json_fail(root, "an object", err); }
    return st;
}

static int by_id(const void *x, const void *y)
{
    const long a = *(const long *)x;
    const long b = *(const long *)y;
    return a < b ? -1 : a > b;
}

static enum lorac_status read_decoder(struct lorac_tokenizer *t, const struct lorac_json *list,
                                      struct lorac_err *err)
{
    if (!json_is_object(list->value)) { return lorac_json_fail(list, "an object", err); }
    const size_t n = json_object_size(list->value);
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;
    enum lorac_status st = LORAC_OK;
    long *ids = lorac_mem_new(n, sizeof *ids);
    if (!ids) { return lorac_no_memory(err); }
    json_object_foreach(list->value, key, value)
    {
        char *end = NULL;
        const long id = strtol(key, &end, 10);
        if (key[0] < '0' || key[0] > '9' || *end || id >= TOK_MAX_ID || (id > 0 && key[0] == '0')) {
            st = lorac_fail(err, LORAC_EFORMAT, "%s: '%s': '%.40s' is no token id", list->file,
                            list->where, key);
            goto done;
        }
        ids[i++] = id;
    }
    qsort(ids, n, sizeof *ids, by_id);
    for (i = 0; i < n && !st; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%ld", ids[i]);
        struct lorac_json at = lorac_json_get(list, name);
        st = lorac_added_read(t, &at, (int32_t)ids[i], err);
    }
done:
    lorac_mem_free(ids);
    return st;
}

/* The special token that `at` names, as text or as an object with "content"; "" names none
 * (Whisper's). */
static enum lorac_status read_special(int32_t *id, struct lorac_tokenizer *t,
                                      const struct lorac_json *at, bool must_be,
                                      struct lorac_err *err)
{
    struct lorac_json content = json_is_object(at->value) ? lorac_json_get(at, "content") : *at;
    const char *name = json_string_value(content.value);
    if (!name || strlen(name) != json_string_length(content.value)) {
        return lorac_json_fail(at, "a token", err);
    }
    return *name ? lorac_added_special(id, t, at, name, must_be, err) : LORAC_OK;
}

/* Special tokens of no name: a list, or (transformers 5) an object from its own names to tokens. */
static enum lorac_status read_more_special(struct lorac_tokenizer *t, const struct lorac_json *list,
                                           struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    int32_t id = -1;
    const char *key = NULL;
    json_t *value = NULL;
    for (size_t i = 0; i < json_array_size(list->value) && !st; i++) {
        struct lorac_json at = lorac_json_at(list, i);
        st = read_special(&id, t, &at, false, err);
    }
    json_object_foreach(list->value, key, value)
    {
        struct lorac_json at = lorac_json_get(list, key);
        if (at.value) { st = read_special(&id, t, &at, false, err); }
        if (st) { break; }
    }
    return st;
}

const char *const lorac_special_names[TOK_NAMES] = {
    "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"};

/* What begins and ends texts must be a token of tokenizer.json; the others are used where a text
 * holds them, and of a class's all that is none becomes the next. */
static enum lorac_status read_names(struct lorac_tokenizer *t, const struct lorac_json *root,
                                    const struct lorac_class *class, struct lorac_err *err)
{
    const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < TOK_NAMES && !st; i++) {
        struct lorac_json at = lorac_json_get(root, lorac_special_names[i]);
        int32_t id = -1;
        bool must_be = (i == TOK_BOS || i == TOK_EOS) && !class;
        if (at.value) { st = read_special(&id, t, &at, must_be, err); }
        if (i == TOK_BOS && t->bos < 0) { t->bos = id; }
        if (i == TOK_EOS && t->eos < 0) { t->eos = id; }
        if (i == TOK_PAD && t->pad < 0) { t->pad = id; }
        if (i == TOK_MASK && t->mask < 0) { t->mask = id; }
    }
    for (size_t k = 0; k < 2 && !st; k++) {
        struct lorac_json list = lorac_json_get(root, lists[k]);
        st = read_more_special(t, &list, err);
    }
    return st;
}

/* What tokenizer.json puts stays, whatever tokenizer_config.json asks for. */
static void note_ignored(struct lorac_tokenizer *t, const char *key, bool asked, bool put)
{
    if (asked == put || t->note[0]) { return; }
    (void)snprintf(t->note, sizeof t->note,
                   "tokenizer_config.json: %s is %s, but the post_processor of tokenizer.json puts "
                   "%s there, which counts, as in transformers 5",
                   key, asked ? "true" : "false", put ? "a token" : "nothing");
}

/* The keys count where they are there, even as null; update_post_processor() of the classes. */
static enum lorac_status read_bos_eos(struct lorac_tokenizer *t, const struct lorac_json *root,
                                      const struct lorac_class *class, struct lorac_err *err)
{
    bool bos = false;
    bool eos = false;
    const json_t *bos_at = json_object_get(root->value, "add_bos_token");
    const json_t *eos_at = json_object_get(root->value, "add_eos_token");
    enum lorac_status st = lorac_json_bool(&bos, root, "add_bos_token", false, err);
    if (!st) { st = lorac_json_bool(&eos, root, "add_eos_token", false, err); }
    if (st || (!bos_at && !eos_at)) { return st; }
    if (!class) {
        if (json_is_boolean(bos_at)) { note_ignored(t, "add_bos_token", bos, t->before.n > 0); }
        if (json_is_boolean(eos_at)) { note_ignored(t, "add_eos_token", eos, t->after.n > 0); }
        return LORAC_OK;
    }
    if (bos && t->bos >= 0) { st = lorac_ids_add(&t->before, t->bos, err); }
    if (!st && eos && t->eos >= 0) { st = lorac_ids_add(&t->after, t->eos, err); }
    return st;
}

/* The class's names, where neither file gives another, or null. */
static enum lorac_status add_defaults(struct lorac_json *config, const struct lorac_json *map,
                                      const struct lorac_class *class, struct lorac_err *err)
{
    if (!config->value) { config->value = json_object(); }
    for (size_t i = 0; i < TOK_NAMES; i++) {
        const char *key = lorac_special_names[i];
        if (!class->named[i] || json_object_get(config->value, key) ||
            json_object_get(map->value, key)) {
            continue;
        }
        if (json_object_set_new(config->value, key, json_string(class->named[i]))) {
            return lorac_no_memory(err);
        }
    }
    return LORAC_OK;
}

static enum lorac_status read_config(struct lorac_tokenizer *t, const char *dir,
                                     const struct lorac_class *class, struct lorac_err *err)
{
    struct lorac_json config = {0};
    struct lorac_json map = {0};
    char config_path[LORAC_PATH];
    char map_path[LORAC_PATH];
    enum lorac_status st = lorac_read_file(&config, config_path, dir, "tokenizer_config.json", err);
    if (!st) { st = lorac_read_file(&map, map_path, dir, "special_tokens_map.json", err); }
    struct lorac_json list = lorac_json_get(&config, "added_tokens_decoder");
    if (!st && list.value) { st = read_decoder(t, &list, err); }
    if (!st && class) { st = add_defaults(&config, &map, class, err); }
    if (!st) { st = read_names(t, &config, class, err); }
    if (!st) { st = read_names(t, &map, class, err); }
    if (!st) { st = read_bos_eos(t, &config, class, err); }
    lorac_json_free(&config);
    lorac_json_free(&map);
    return st;
}

static bool is_token(const struct lorac_tokenizer *t, json_int_t id)
{
    return id >= 0 && id < TOK_MAX_ID && lorac_token_text(t, (int32_t)id);
}

/* A number or a list of them. One that is no token ends nothing that the tokenizer could tell of:
 * where there is another, or the tokenizer names its own, it does no harm. */
static enum lorac_status read_ends(struct lorac_tokenizer *t, const struct lorac_json *at,
                                   struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    const bool many = json_is_array(at->value);
    const size_t n = many ? json_array_size(at->value) : 1;
    for (size_t i = 0; i < n && !st; i++) {
        struct lorac_json one = many ? lorac_json_at(at, i) : *at;
        const json_int_t id = json_integer_value(one.value);
        const bool last = i + 1 == n && t->ends.n == 0 && t->eos < 0;
        if (!json_is_integer(one.value) || (last && !is_token(t, id))) {
            return lorac_json_fail(&one, "the id of a token", err);
        }
        if (is_token(t, id)) { st = lorac_ids_add(&t->ends, (int32_t)id, err); }
    }
    return st;
}

static enum lorac_status read_generation(struct lorac_tokenizer *t, const char *dir,
                                         struct lorac_err *err)
{
    const char *const names[] = {"generation_config.json", "config.json"};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < 2 && !st; i++) {
        struct lorac_json root = {0};
        char path[LORAC_PATH];
        st = lorac_read_file(&root, path, dir, names[i], err);
        struct lorac_json eos = lorac_json_get(&root, "eos_token_id");
        struct lorac_json bos = lorac_json_get(&root, "bos_token_id");
        if (!st && eos.value && t->ends.n == 0) { st = read_ends(t, &eos, err); }
        if (t->bos < 0 && json_is_integer(bos.value) &&
            is_token(t, json_integer_value(bos.value))) {
            t->bos = (int32_t)json_integer_value(bos.value);
        }
        lorac_json_free(&root);
    }
    if (st) { return st; }
    if (t->eos < 0 && t->ends.n) { t->eos = t->ends.at[0]; }
    return t->eos >= 0 ? lorac_ids_add(&t->ends, t->eos, err) : LORAC_OK;
}

enum lorac_status lorac_read_folder(struct lorac_tokenizer *t, const char *dir,
                                    const struct lorac_class *class, struct lorac_err *err)
{
    enum lorac_status st = read_config(t, dir, class, err);
    return st ? st : read_generation(t, dir, err);
}

/* ---- the chat template ---- */

/* The template of "chat_template": text, or a list of {"name", "template"}. */
static const char *template_of(const struct lorac_json *root)
{
    json_t *value = json_object_get(root->value, "chat_template");
    const char *text = json_string_value(value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *one = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *its = json_string_value(json_object_get(one, "template"));
        if (!text || (name && its && strcmp(name, "default") == 0)) { text = its; }
    }
    return text;
}

enum lorac_status lorac_chat_template(struct lorac_buf *text, const char **file, const char *dir,
                                      struct lorac_err *err)
{
    static const char *const names[] = {"chat_template.jinja", "tokenizer_config.json",
                                        "chat_template.json"};
    char path[LORAC_PATH];
    char *read = NULL;
    size_t n = 0;
    enum lorac_status st = LORAC_OK;
    *file = NULL;
    if (lorac_path_exists(lorac_path_in(path, dir, names[0]))) {
        st = lorac_file_read(&read, &n, path, TOK_MAX_JSON, err);
        if (!st) {
            *file = names[0];
            lorac_buf_add(text, read, n);
        }
    }
    for (size_t i = 1; i < 3 && !st && !*file; i++) {
        struct lorac_json root = {0};
        st = lorac_read_file(&root, path, dir, names[i], err);
        const char *found = st ? NULL : template_of(&root);
        if (found) {
            *file = names[i];
            lorac_buf_str(text, found);
        }
        lorac_json_free(&root);
    }
    lorac_mem_free(read);
    if (!st && text->no_memory) { st = lorac_no_memory(err); }
    return st;
}

enum lorac_status lorac_tokenizer_class(struct lorac_buf *name, const char *dir,
                                        struct lorac_err *err)
{
    struct lorac_json root = {0};
    char path[LORAC_PATH];
    const char *class = "";
    enum lorac_status st = lorac_read_file(&root, path, dir, "tokenizer_config.json", err);
    if (!st) { st = lorac_json_string(&class, &root, "tokenizer_class", false, err); }
    if (!st) { lorac_buf_str(name, class); }
    if (!st && name->no_memory) { st = lorac_no_memory(err); }
    lorac_json_free(&root);
    return st;
}
