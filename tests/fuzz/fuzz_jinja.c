/* fuzz_jinja.c - any bytes as a chat template: no crash, no endless work, and a reason for each
 * refusal. */
#include "base/jinja/jinja.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lorac_jinja *t = NULL;
    struct lorac_jinja_text out = {0};
    struct lorac_err err = {0};
    json_t *own = json_pack("{s:s, s:s, s:b}", "bos_token", "<s>", "eos_token", "</s>",
                            "add_generation_prompt", 1);
    json_t *input =
        json_pack("{s:[{s:s, s:s}, {s:s, s:s}], s:n}", "messages", "role", "user", "content",
                  " a 'b' \xC3\xA9 ", "role", "assistant", "content", "c", "tools");
    enum lorac_status st = lorac_jinja_parse(&t, (const char *)data, size, "fuzz", &err);
    if (!st) { st = lorac_jinja_render(&out, t, own, input, 0, &err); }
    if (st && !err.text[0]) { abort(); } // refused without a reason
    if (!st && out.text.n != out.mark.n) { abort(); }
    lorac_jinja_text_free(&out);
    lorac_jinja_free(t);
    json_decref(own);
    json_decref(input);
    return 0;
}
