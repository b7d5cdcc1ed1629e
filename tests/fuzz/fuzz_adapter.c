/* fuzz_adapter.c - any bytes as an adapter_config.json, and the modules it then gives a small
 * model. */
#include "base/arch/arch.h"
#include "base/core/mem.h"
#include "lora/peft_config.h"
#include "lora/peft_files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lorac_model m = {.config = {.kind = &lorac_arch_llama,
                                       .program = &lorac_program_llama,
                                       .head = &lorac_arch_llama.heads[LORAC_TASK_LM],
                                       .C = 1,
                                       .L = 2,
                                       .H = 1,
                                       .G = 1,
                                       .D = 1,
                                       .F = 1,
                                       .V = 1,
                                       .Z = 1}};
    struct lorac_match match[64];
    struct lorac_peft_config c;
    struct lorac_err err = {0};
    if (lorac_modules_list(&m.module, &m.n_modules, &m.step, &m.config, &err)) { abort(); }
    if (m.n_modules > sizeof match / sizeof *match) { abort(); }
    m.embed = lorac_module_find(&m, "model.embed_tokens");
    m.head = lorac_module_find(&m, "lm_head");
    enum lorac_status st = lorac_peft_config_parse(&c, (const char *)data, size, "F", &err);
    if (!st) {
        size_t n = 0;
        st = lorac_peft_config_match(match, &c, &m, &err);
        for (size_t i = 0; !st && i < m.n_modules; i++) {
            n += match[i].rank > 0;
            if (match[i].rank > 4096 || (match[i].rank && !(match[i].alpha > 0))) { abort(); }
        }
        bool none = c.options.regex && strcmp(c.options.regex, LORAC_PEFT_NO_TARGETS) == 0;
        if (!st && (n == 0) != none) { abort(); }
        lorac_peft_config_free(&c);
    }
    lorac_mem_free(m.module);
    lorac_mem_free(m.step);
    if (st && !err.text[0]) { abort(); } // a failure always says why
    return 0;
}
