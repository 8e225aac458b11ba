/* other_module.c -- modules that the registry must refuse: one of another
 * ABI, one without functions, one under a wrong name. */
#include <krs/backend.h>

__attribute__((visibility("default")))
krs_backend_entry_function krs_backend_entry;

static uint64_t
abi(void)
{
    return krs_backend_abi() + OTHER_ABI;
}

const krs_backend *
krs_backend_entry(void)
{
    static const krs_backend table = {.abi = abi, .name = "hollow"};
    return &table;
}
