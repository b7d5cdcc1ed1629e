/* peft_config_write.c - writing adapter_config.json; see peft_config.h. */
#include "lora/peft_config.h"

#include "base/core/mem.h"
#include "base/core/number.h"
#include "lora/match.h"
#include "lora/methods/methods.h"
#include "lora/peft_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest decimal that reads back as v: 16, 0.05. */
static void add_number(struct lorac_buf *out, double v)
{
    bool whole = v >= 0 && v < 1e15 && v == (double)(unsigned long long)v;
    if (whole) {
        lorac_buf_printf(out, "%llu", (unsigned long long)v);
    } else {
        lorac_number_print(out, v);
    }
}

static const char *module_name(const struct lorac_adapter *a, size_t i)
{
    return a->model->module[a->site[i].m].name;
}

static const char *last_component(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* The value most modules have; of equals, the one that comes first. */
static void common_values(size_t *rank, double *alpha, const struct lorac_adapter *a)
{
    size_t best_rank = 0;
    size_t best_alpha = 0;
    for (size_t i = 0; i < a->n; i++) {
        size_t same_rank = 0;
        size_t same_alpha = 0;
        for (size_t j = 0; j < a->n; j++) {
            same_rank += a->site[j].R == a->site[i].R;
            same_alpha += a->site[j].alpha == a->site[i].alpha;
        }
        if (same_rank > best_rank) {
            best_rank = same_rank;
            *rank = a->site[i].R;
        }
        if (same_alpha > best_alpha) {
            best_alpha = same_alpha;
            *alpha = a->site[i].alpha;
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* True where an adapter sits on every module that has the last component of an adapted one, so that
 * these components as target_modules give the same modules again. Of a model that is run in part
 * they would also give those of the other parts, such as a vision tower. */
static bool suffixes_suffice(const struct lorac_adapter *a)
{
    const struct lorac_model *m = a->model;
    if (lorac_model_is_part(m)) { return false; }
    for (size_t i = 0; i < a->n; i++) {
        const char *last = last_component(module_name(a, i));
        for (size_t j = 0; j < m->n_modules; j++) {
            if (a->at[j] < 0 && lorac_module_is_linear(&m->module[j]) &&
                strcmp(last_component(m->module[j].name), last) == 0) {
                return false;
            }
        }
    }
    return true;
}

/* Do last components say of all modules what is adapted, and of those what is at its input? PEFT
 * compares bare ends there. */
static bool last_components_suffice(const struct lorac_adapter *a)
{
    bool enough = suffixes_suffice(a);
    for (size_t i = 0; i < a->n && a->method->inputs; i++) {
        bool fits = false;
        for (size_t j = 0; j < a->n; j++) {
            const char *last = last_component(module_name(a, j));
            fits = fits || (a->site[j].input && lorac_ends_with(module_name(a, i), last));
        }
        enough = enough && fits == a->site[i].input;
    }
    return enough;
}

/* A list of adapted modules, or of those that are adapted at their input. */
static enum lorac_status add_sites(struct lorac_buf *out, const struct lorac_adapter *a,
                                   const char *key, bool inputs, struct lorac_err *err)
{
    bool short_names = last_components_suffice(a);
    const char **names = lorac_mem_new(a->n + 1, sizeof *names);
    size_t n = 0;
    if (!names) { return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu names", a->n); }
    for (size_t i = 0; i < a->n; i++) {
        if (inputs && !a->site[i].input) { continue; }
        names[n++] = short_names ? last_component(module_name(a, i)) : module_name(a, i);
    }
    qsort(names, n, sizeof *names, by_name);
    const char *comma = "";
    lorac_buf_printf(out, "  \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0) { continue; }
        lorac_buf_printf(out, "%s\n    ", comma);
        lorac_buf_json(out, names[i], strlen(names[i]));
        comma = ",";
    }
    lorac_buf_str(out, n ? "\n  ],\n" : "],\n");
    lorac_mem_free(names);
    return LORAC_OK;
}

static enum lorac_status add_targets(struct lorac_buf *out, const struct lorac_adapter *a,
                                     struct lorac_err *err)
{
    if (a->n == 0) {
        lorac_buf_str(out, "  \"target_modules\": \"" LORAC_PEFT_NO_TARGETS "\",\n");
        return LORAC_OK;
    }
    return add_sites(out, a, "target_modules", false, err);
}

/* Does module m train in full, so that modules_to_save has to name it? Biases alone are `bias`'s.
 */
static bool is_full(const struct lorac_adapter *a, size_t m)
{
    int32_t at = a->vector_at[m];
    bool norm = a->model->module[m].role == LORAC_ROLE_NORM && at >= 0 && a->full[at].first == 0;
    return a->weight_at[m] >= 0 || norm;
}

/* Does PEFT take the module by a name that it adds for its task? */
static bool is_head(const struct lorac_adapter *a, size_t m)
{
    bool yes = false;
    for (size_t i = 0; lorac_peft_heads[i] && lorac_task_is_labelled(a->model->config.task); i++) {
        yes = yes || lorac_is_taken(a->model->module[m].name, lorac_peft_heads[i]);
    }
    return yes;
}

/* Does PEFT take exactly ours by `entry`, each as a whole component of its name? */
static bool names_only_ours(const struct lorac_adapter *a, const char *entry)
{
    for (size_t m = 0; m < a->model->n_modules; m++) {
        const char *name = a->model->module[m].name;
        if (!lorac_ends_with(name, entry)) { continue; }
        if (!is_full(a, m) || !lorac_is_suffix(name, entry)) { return false; }
    }
    return true;
}

/* The last component where it names nothing else, otherwise the whole name: PEFT compares bare
 * ends. Of a task with a head the names that PEFT adds stand for what they take. */
static enum lorac_status add_modules_to_save(struct lorac_buf *out, const struct lorac_adapter *a,
                                             struct lorac_err *err)
{
    const struct lorac_model *model = a->model;
    const char **names = lorac_mem_new(model->n_modules + 2, sizeof *names);
    size_t n = 0;
    if (!names) { return lorac_fail(err, LORAC_ENOMEM, "no memory for module names"); }
    for (size_t i = 0; lorac_peft_heads[i] && lorac_task_is_labelled(model->config.task); i++) {
        names[n++] = lorac_peft_heads[i];
    }
    for (size_t m = 0; m < model->n_modules; m++) {
        if (!is_full(a, m) || is_head(a, m)) { continue; }
        const char *name = model->module[m].name;
        const char *last = last_component(name);
        names[n++] = names_only_ours(a, last) ? last : name;
    }
    qsort(names, n, sizeof *names, by_name);
    const char *comma = "[";
    lorac_buf_str(out, "  \"modules_to_save\": ");
    for (size_t i = 0; i < n; i++) {
        if (i && strcmp(names[i], names[i - 1]) == 0) { continue; }
        lorac_buf_printf(out, "%s\n    ", comma);
        lorac_buf_json(out, names[i], strlen(names[i]));
        comma = ",";
    }
    lorac_buf_str(out, n ? "\n  ],\n" : "null,\n");
    lorac_mem_free(names);
    return LORAC_OK;
}

/* PEFT matches a key as the regex (.*\.)?(key)$, in which the dots of a name fit any character.
 * True where that can only be the module itself. */
static bool only_itself(const struct lorac_adapter *a, size_t i)
{
    const char *key = module_name(a, i);
    size_t n = strlen(key);
    for (size_t j = 0; j < a->model->n_modules; j++) {
        const char *name = a->model->module[j].name;
        size_t len = strlen(name);
        if (j == a->site[i].m || len < n || (len > n && name[len - n - 1] != '.')) { continue; }
        size_t k = 0;
        while (k < n && (key[k] == '.' || key[k] == name[len - n + k])) {
            k++;
        }
        if (k == n) { return false; }
    }
    return true;
}

/* Keys are whole names as they stand. Escaped dots or a leading ^ would be neater regexes, but PEFT
 * 0.6 to 0.14 matches ".*\.key$" and then looks the plain name up; it would miss them in silence.
 */
static enum lorac_status add_pattern(struct lorac_buf *out, const struct lorac_adapter *a,
                                     size_t rank, double alpha, bool ranks, struct lorac_err *err)
{
    const char **names = lorac_mem_new(a->n + 1, sizeof *names);
    size_t n = 0;
    if (!names) { return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu names", a->n); }
    for (size_t i = 0; i < a->n; i++) {
        if (ranks ? a->site[i].R == rank : a->site[i].alpha == alpha) { continue; }
        if (!only_itself(a, i)) {
            enum lorac_status st = lorac_fail(err, LORAC_ENOTSUP,
                                              "a rank or alpha of its own for '%s' would also fit "
                                              "another module in PEFT",
                                              module_name(a, i));
            lorac_mem_free(names);
            return st;
        }
        names[n++] = module_name(a, i);
    }
    qsort(names, n, sizeof *names, by_name);
    lorac_buf_printf(out, "  \"%s\": {", ranks ? "rank_pattern" : "alpha_pattern");
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (module_name(a, j) != names[i]) {
            j++;
        }
        lorac_buf_str(out, i ? ",\n    " : "\n    ");
        lorac_buf_json(out, names[i], strlen(names[i]));
        lorac_buf_str(out, ": ");
        add_number(out, ranks ? (double)a->site[j].R : a->site[j].alpha);
    }
    lorac_buf_str(out, n ? "\n  },\n" : "},\n");
    lorac_mem_free(names);
    return LORAC_OK;
}

/* Do the adapted modules store their weights as (in,out)? Those of one model all do, or none. */
static bool is_turned(const struct lorac_adapter *a)
{
    return a->n > 0 && a->model->module[a->site[0].m].transposed;
}

static void add_base(struct lorac_buf *out, const char *base_name)
{
    lorac_buf_str(out, "  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ");
    if (base_name) {
        lorac_buf_json(out, base_name, strlen(base_name));
    } else {
        lorac_buf_str(out, "null");
    }
    lorac_buf_str(out, ",\n");
}

static void add_task(struct lorac_buf *out, const struct lorac_adapter *a)
{
    const char *type = lorac_peft_task_type(&a->model->config);
    const char *quote = type ? "\"" : "";
    lorac_buf_printf(out, "  \"task_type\": %s%s%s", quote, type ? type : "null", quote);
}

/* Of a method with keys of its own. */
static enum lorac_status add_plain(struct lorac_buf *out, const struct lorac_adapter *a,
                                   const char *base_name, struct lorac_err *err)
{
    lorac_buf_str(out, "{\n");
    add_base(out, base_name);
    lorac_buf_printf(out, "  \"fan_in_fan_out\": %s,\n", is_turned(a) ? "true" : "false");
    enum lorac_status st =
        a->method->inputs ? add_sites(out, a, "feedforward_modules", true, err) : LORAC_OK;
    lorac_buf_str(out, "  \"inference_mode\": true,\n");
    if (!st) { st = add_modules_to_save(out, a, err); }
    lorac_buf_printf(out, "  \"peft_type\": \"%s\",\n  \"revision\": null,\n",
                     a->method->peft_type);
    if (!st) { st = add_targets(out, a, err); }
    add_task(out, a);
    lorac_buf_str(out, "\n}");
    if (st) { return st; }
    return out->no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for the config") : LORAC_OK;
}

enum lorac_status lorac_peft_config_text(struct lorac_buf *out, const struct lorac_adapter *a,
                                         const char *base_name, struct lorac_err *err)
{
    size_t rank = 8;
    double alpha = 8;
    if (a->method->peft_keys) { return add_plain(out, a, base_name, err); }
    common_values(&rank, &alpha, a);
    lorac_buf_str(out, "{\n");
    enum lorac_status st = add_pattern(out, a, rank, alpha, false, err);
    if (st) { return st; }
    add_base(out, base_name);
    lorac_buf_printf(out,
                     "  \"bias\": \"%s\",\n%s  \"fan_in_fan_out\": %s,\n"
                     "  \"inference_mode\": true,\n  \"init_lora_weights\": %s,\n"
                     "  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n"
                     "  \"loftq_config\": {},\n  \"lora_alpha\": ",
                     lorac_bias_name(a->bias),
                     a->tie == LORAC_TIE_KEEP ? "  \"ensure_weight_tying\": true,\n" : "",
                     is_turned(a) ? "true" : "false",
                     a->init == LORAC_INIT_GAUSSIAN ? "\"gaussian\"" : "true");
    add_number(out, alpha);
    lorac_buf_str(out, ",\n  \"lora_dropout\": ");
    add_number(out, a->dropout);
    if (a->dropout == 0) { lorac_buf_str(out, ".0"); } // a float in PEFT
    lorac_buf_str(out,
                  ",\n  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n");
    st = add_modules_to_save(out, a, err);
    if (st) { return st; }
    lorac_buf_printf(out, "  \"peft_type\": \"%s\",\n  \"r\": %zu,\n", a->method->peft_type, rank);
    st = add_pattern(out, a, rank, alpha, true, err);
    if (st) { return st; }
    lorac_buf_str(out, "  \"revision\": null,\n");
    st = add_targets(out, a, err);
    if (st) { return st; }
    add_task(out, a);
    lorac_buf_printf(out, ",\n  \"use_dora\": %s,\n  \"use_rslora\": %s\n}",
                     a->method->peft_flag ? "true" : "false",
                     a->scaling == LORAC_SCALE_RSLORA ? "true" : "false");
    return out->no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for the config") : LORAC_OK;
}
