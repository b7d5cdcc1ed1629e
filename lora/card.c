/* card.c - see card.h. */
#include "lora/card.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"

#include <string.h>

/* Text as a block of Markdown, each line behind four blanks. */
static void add_block(struct lorac_buf *b, const char *text)
{
    lorac_buf_str(b, "\n    ");
    for (const char *c = text; *c; c++) {
        lorac_buf_add(b, c, 1);
        if (*c == '\n') { lorac_buf_str(b, "    "); }
    }
    lorac_buf_str(b, "\n\n");
}

static void add_labels(struct lorac_buf *b, const struct lorac_saved *q)
{
    if (q->K == 0) { return; }
    lorac_buf_printf(b, "It learnt to choose among %zu answers:\n\n", q->K);
    for (size_t i = 0; i < q->K; i++) {
        lorac_buf_str(b, "- ");
        lorac_buf_json(b, q->labels[i], strlen(q->labels[i]));
        lorac_buf_str(b, "\n");
    }
    lorac_buf_str(b, "\n");
}

/* The command for lorac. An adapter's template is filled by it, so that only the text is given. */
static void add_command(struct lorac_buf *b, const struct lorac_saved *q, const char *base,
                        bool merged)
{
    lorac_buf_str(b, "With lorac, in this folder:\n\n    lorac generate --model ");
    lorac_buf_word(b, merged ? "." : base ? base : "BASE");
    if (!merged) { lorac_buf_str(b, " --adapter ."); }
    lorac_buf_str(b, " --prompt ");
    lorac_buf_word(b, merged && q->prompt[0] ? q->prompt : "TEXT");
    lorac_buf_str(
        b, merged ? "\n\n(with the names in braces replaced: a merged model has no template)\n\n"
                  : "\n\nTEXT fills the template's name in braces; of several, --field NAME=TEXT "
                    "does.\n\n");
}

static void add_python(struct lorac_buf *b, const struct lorac_saved *q, const char *base,
                       bool merged)
{
    const char *class = merged ? "AutoModelForCausalLM" : "AutoPeftModelForCausalLM";
    const char *tokenizer = merged ? "." : base ? base : "BASE";
    lorac_buf_printf(b, "In Python, with %s:\n\n", merged ? "transformers" : "PEFT");
    if (merged) {
        lorac_buf_printf(b, "    from transformers import %s, AutoTokenizer\n\n", class);
    } else {
        lorac_buf_printf(
            b, "    from peft import %s\n    from transformers import AutoTokenizer\n\n", class);
    }
    lorac_buf_str(b, "    tokenizer = AutoTokenizer.from_pretrained(");
    lorac_buf_json(b, tokenizer, strlen(tokenizer));
    lorac_buf_printf(b, ")\n    model = %s.from_pretrained(\".\")\n    prompt = ", class);
    lorac_buf_json(b, q->prompt, strlen(q->prompt));
    lorac_buf_str(b, "  # with the names in braces replaced\n"
                     "    inputs = tokenizer(prompt, return_tensors=\"pt\")\n"
                     "    ids = model.generate(**inputs, max_new_tokens=32, do_sample=False)\n"
                     "    print(tokenizer.decode(ids[0, inputs[\"input_ids\"].shape[1]:], "
                     "skip_special_tokens=True))\n");
}

/* Of an adapter that was trained on conversations. */
static void add_chat(struct lorac_buf *b, const struct lorac_saved *q, const char *base,
                     bool merged)
{
    lorac_buf_str(b, "It was trained on conversations in the form of ");
    lorac_buf_str(b, merged ? "the model's chat template" : "chat_template.jinja, in this folder");
    if (q->prompt[0]) {
        lorac_buf_str(b, ", where the user says (a name in braces stands for a text):\n");
        add_block(b, q->prompt);
    } else {
        lorac_buf_str(b, ".\n\n");
    }
    if (q->system) {
        lorac_buf_str(b, "The system says:\n");
        add_block(b, q->system);
    }
    add_labels(b, q);
    lorac_buf_str(b, "With lorac, in this folder:\n\n    lorac chat --model ");
    lorac_buf_word(b, merged ? "." : base ? base : "BASE");
    lorac_buf_str(b, merged ? "\n" : " --adapter .\n");
}

/* What transformers reads: a text, or a pair. Words each behind a space, as they were trained,
 * whatever their tokenizer does where none stands there. */
static const char *inputs_of(const struct lorac_saved *q, const struct lorac_config *c)
{
    if (c->task == LORAC_TASK_TAG) {
        return "    words = [\" \" + word for word in text.split()]\n"
               "    inputs = tokenizer(words, is_split_into_words=True, return_tensors=\"pt\")\n";
    }
    return q->completion[0] ? "    inputs = tokenizer(text, second, return_tensors=\"pt\")\n"
                            : "    inputs = tokenizer(text, return_tensors=\"pt\")\n";
}

/* Tokenizers of transformers 4 that read words only where they are told to put a space before each
 * themselves. With one there already it changes nothing, but Qwen2's would put a second into the
 * middle of "don't". */
static bool asks_for_spaces(const struct lorac_config *c)
{
    const char *type = lorac_arch_type(c->arch);
    return type && (strcmp(type, "gpt2") == 0 || strcmp(type, "roberta") == 0);
}

/* Of an adapter with a head in PEFT: the base has to be opened with one of its size, which
 * transformers draws and PEFT replaces. */
static void add_head_python(struct lorac_buf *b, const struct lorac_saved *q, const char *base,
                            bool merged, const struct lorac_config *c)
{
    const char *class = c->task == LORAC_TASK_TAG ? "AutoModelForTokenClassification"
                                                  : "AutoModelForSequenceClassification";
    const char *from = merged ? "." : base ? base : "BASE";
    lorac_buf_printf(b, "In Python, with %s:\n\n", merged ? "transformers" : "PEFT");
    if (!merged) { lorac_buf_str(b, "    from peft import PeftModel\n"); }
    lorac_buf_printf(b, "    from transformers import %s, AutoTokenizer\n\n    base = ", class);
    lorac_buf_json(b, from, strlen(from));
    bool words = c->task == LORAC_TASK_TAG;
    lorac_buf_printf(b, "\n    tokenizer = AutoTokenizer.from_pretrained(base%s)\n",
                     words && asks_for_spaces(c) ? ", add_prefix_space=True" : "");
    lorac_buf_printf(b, "    model = %s.from_pretrained(base", class);
    if (!merged) {
        lorac_buf_printf(b, ", num_labels=%zu)\n", c->labels);
        lorac_buf_str(b, "    model = PeftModel.from_pretrained(model, \".\"");
    }
    lorac_buf_printf(b, ")\n%s    logits = model(**inputs).logits", inputs_of(q, c));
    if (words) { lorac_buf_str(b, "[0]  # a word's: of its first token, by inputs.word_ids()"); }
    if (q->deviation > 0.0) {
        lorac_buf_str(b, " * ");
        lorac_number_print(b, q->deviation);
        lorac_buf_str(b, " + ");
        lorac_number_print(b, q->mean);
    }
    lorac_buf_str(b, "\n");
}

static void add_head(struct lorac_buf *b, const struct lorac_saved *q, const char *base,
                     bool merged, const struct lorac_config *c)
{
    const bool number = q->deviation > 0.0;
    lorac_buf_printf(b,
                     "It has a head for %s, trained on texts of this form, where a name in braces "
                     "stands for a text and {{ for one brace:\n",
                     lorac_task_text(c->task));
    add_block(b, q->prompt);
    if (q->completion[0]) {
        lorac_buf_str(b, "each in a pair with a second one:\n");
        add_block(b, q->completion);
    }
    if (number) {
        lorac_buf_str(b, "What it gives, times the deviation of its targets and plus their mean, "
                         "is a number in their units.\n\n");
    } else if (q->K) {
        lorac_buf_str(b, "Its labels, in the order of its logits:\n\n");
    }
    for (size_t k = 0; k < q->K && !number; k++) {
        lorac_buf_printf(b, "%zu. ", k);
        lorac_buf_json(b, q->labels[k], strlen(q->labels[k]));
        lorac_buf_str(b, k + 1 == q->K ? "\n\n" : "\n");
    }
    add_head_python(b, q, base, merged, c);
}

/* An encoder that was trained on masks writes nothing. */
static void add_masked(struct lorac_buf *b, const char *base, bool merged)
{
    const char *from = merged ? "." : base ? base : "BASE";
    lorac_buf_str(b, "It says which tokens stand behind masks. With lorac, in this folder:\n\n"
                     "    lorac next --model ");
    lorac_buf_word(b, from);
    lorac_buf_printf(b, "%s --prompt TEXT\n\nTEXT holds the tokenizer's mask token.\n\n",
                     merged ? "" : " --adapter .");
    lorac_buf_printf(b, "In Python, with %s:\n\n", merged ? "transformers" : "PEFT");
    if (!merged) { lorac_buf_str(b, "    from peft import PeftModel\n"); }
    lorac_buf_str(b, "    from transformers import AutoModelForMaskedLM\n\n"
                     "    model = AutoModelForMaskedLM.from_pretrained(");
    lorac_buf_json(b, from, strlen(from));
    lorac_buf_str(b, merged ? ")\n" : ")\n    model = PeftModel.from_pretrained(model, \".\")\n");
}

enum lorac_status lorac_card_usage(struct lorac_buf *b, const char *json, const char *base,
                                   bool merged, const struct lorac_config *c, struct lorac_err *err)
{
    struct lorac_saved *q = NULL;
    enum lorac_status st = lorac_saved_read(&q, json, err);
    if (q && lorac_task_is_labelled(c->task)) {
        lorac_buf_str(b, "\n## How to ask\n\n");
        add_head(b, q, base, merged, c);
    } else if (q && c->bidirectional) {
        lorac_buf_str(b, "\n## How to ask\n\n");
        add_masked(b, base, merged);
    } else if (q && q->chat) {
        lorac_buf_str(b, "\n## How to ask\n\n");
        add_chat(b, q, base, merged);
    } else if (q) {
        lorac_buf_str(b, "\n## How to ask\n\n");
        if (q->prompt[0]) {
            lorac_buf_str(b,
                          "It was trained on prompts of this form, where a name in braces stands "
                          "for a text and {{ for one brace:\n");
            add_block(b, q->prompt);
        } else {
            lorac_buf_str(b, "It was trained on texts as they are, without a prompt.\n\n");
        }
        if (q->completion[0]) {
            lorac_buf_printf(b, "and on answers of this form%s:\n",
                             q->append_eos ? ", behind which the text ends" : "");
            add_block(b, q->completion);
        }
        add_labels(b, q);
        add_command(b, q, base, merged);
        add_python(b, q, base, merged);
    }
    lorac_mem_free(q);
    return st;
}

enum lorac_status lorac_card_merged(const char *dir, const struct lorac_stack *s,
                                    struct lorac_err *err)
{
    const char *json = s->n ? s->adapter[0]->template_json : NULL;
    for (size_t i = 1; i < s->n && json; i++) {
        const char *other = s->adapter[i]->template_json;
        if (!other || strcmp(other, json) != 0) { json = NULL; }
    }
    if (!json) { return LORAC_OK; }
    struct lorac_buf text = {0};
    char path[LORAC_PATH];
    lorac_buf_printf(&text, "# A merged model\n\nMade with lorac %s from a base and its adapter.\n",
                     LORAC_VERSION);
    const struct lorac_config *c = &s->adapter[0]->model->config;
    enum lorac_status st = lorac_card_usage(&text, json, NULL, true, c, err);
    if (!st && text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    lorac_path_in(path, dir, "lorac.md");
    if (!st) { st = lorac_file_write(path, text.at, text.n, err); }
    lorac_buf_free(&text);
    return st;
}
