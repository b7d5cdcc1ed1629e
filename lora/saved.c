/* saved.c - see saved.h. */
#include "lora/saved.h"

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/number.h"

#include <string.h>

static const char *keep(char **memory, const char *text)
{
    if (!text) { return NULL; }
    char *to = *memory;
    size_t n = strlen(text) + 1;
    memcpy(to, text, n);
    *memory += n;
    return to;
}

/* Both, or neither: one alone would make other numbers of what a head gives. */
static enum lorac_status read_scale(struct lorac_saved *s, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    bool told = lorac_json_get(root, "mean").value || lorac_json_get(root, "deviation").value;
    enum lorac_status st = lorac_json_number(&s->mean, root, "mean", told, err);
    if (!st) { st = lorac_json_number(&s->deviation, root, "deviation", told, err); }
    if (st || !told || s->deviation > 0.0) { return st; }
    struct lorac_json at = lorac_json_get(root, "deviation");
    return lorac_json_fail(&at, "above 0", err);
}

/* `root` in one block: a text is shorter in memory than in the `n` bytes of JSON, by its two quotes
 * at least. */
static enum lorac_status pack(struct lorac_saved **out, const struct lorac_json *root, size_t n,
                              struct lorac_err *err)
{
    struct lorac_saved it = {0};
    struct lorac_json list = lorac_json_get(root, "labels");
    enum lorac_status st = lorac_json_string(&it.prompt, root, "prompt", true, err);
    if (!st) { st = lorac_json_string(&it.completion, root, "completion", true, err); }
    if (!st) { st = lorac_json_bool(&it.append_eos, root, "append_eos", true, err); }
    if (!st) { st = lorac_json_string(&it.chat, root, "chat_template", false, err); }
    if (!st) { st = lorac_json_string(&it.system, root, "system", false, err); }
    if (!st) { st = lorac_json_string(&it.date, root, "date", false, err); }
    if (!st) { st = lorac_json_string(&it.tokenizer, root, "tokenizer", false, err); }
    if (!st) { st = lorac_json_string(&it.problem, root, "problem_type", false, err); }
    if (!st) { st = read_scale(&it, root, err); }
    if (st) { return st; }
    it.K = json_array_size(list.value);
    struct lorac_saved *s = lorac_mem_new(1, sizeof *s + it.K * sizeof *it.labels + n);
    if (!s) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the template"); }
    *out = s;
    const char **labels = (const char **)(s + 1);
    char *memory = (char *)(labels + it.K);
    *s = (struct lorac_saved){.prompt = keep(&memory, it.prompt),
                              .completion = keep(&memory, it.completion),
                              .append_eos = it.append_eos,
                              .labels = list.value ? labels : NULL,
                              .K = it.K,
                              .chat = keep(&memory, it.chat),
                              .system = keep(&memory, it.system),
                              .date = keep(&memory, it.date),
                              .tokenizer = keep(&memory, it.tokenizer),
                              .problem = keep(&memory, it.problem),
                              .mean = it.mean,
                              .deviation = it.deviation};
    for (size_t k = 0; k < it.K; k++) {
        struct lorac_json at = lorac_json_at(&list, k);
        const char *label = json_string_value(at.value);
        if (!label) { return lorac_json_fail(&at, "a text", err); }
        labels[k] = keep(&memory, label);
    }
    return LORAC_OK;
}

enum lorac_status lorac_saved_read(struct lorac_saved **out, const char *json,
                                   struct lorac_err *err)
{
    struct lorac_json root = {0};
    *out = NULL;
    if (!json) { return LORAC_OK; }
    enum lorac_status st = lorac_json_parse(&root, json, strlen(json), "lorac.template", err);
    if (!st) { st = pack(out, &root, strlen(json), err); }
    lorac_json_free(&root);
    if (st) {
        lorac_mem_free(*out);
        *out = NULL;
    }
    return st;
}

static void add_text(struct lorac_buf *b, const char *before, const char *text)
{
    lorac_buf_str(b, before);
    lorac_buf_json(b, text, strlen(text));
}

void lorac_saved_write(struct lorac_buf *json, const struct lorac_saved *s)
{
    add_text(json, "{\"prompt\": ", s->prompt);
    add_text(json, ", \"completion\": ", s->completion);
    lorac_buf_printf(json, ", \"append_eos\": %s, \"labels\": [", s->append_eos ? "true" : "false");
    for (size_t k = 0; k < s->K; k++) {
        add_text(json, k ? ", " : "", s->labels[k]);
    }
    lorac_buf_str(json, "]");
    if (s->tokenizer) { add_text(json, ", \"tokenizer\": ", s->tokenizer); }
    if (s->chat) { add_text(json, ", \"chat_template\": ", s->chat); }
    if (s->system) { add_text(json, ", \"system\": ", s->system); }
    if (s->date) { add_text(json, ", \"date\": ", s->date); }
    if (s->problem) { add_text(json, ", \"problem_type\": ", s->problem); }
    if (s->deviation > 0.0) {
        lorac_buf_str(json, ", \"mean\": ");
        lorac_number_print(json, s->mean);
        lorac_buf_str(json, ", \"deviation\": ");
        lorac_number_print(json, s->deviation);
    }
    lorac_buf_str(json, "}");
}
