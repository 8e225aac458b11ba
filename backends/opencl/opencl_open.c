/* opencl_open.c -- the devices of all OpenCL platforms, and the one table of
 * the module.
 *
 * Devices are numbered through all platforms, by kind (krs_backend_pick), those
 * of one kind in the order of the ICD loader. One is taken if it has the full
 * profile of OpenCL 1.2, a compiler, 64-bit integers, round to nearest,
 * infinities and NaNs; all else is in its limits.
 */
#include "../item_schedule.h"
#include "opencl_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 64, INFO_TEXT = 160 };

static const char options_plain[] = "-cl-std=CL1.2 -w";
static const char options_exact[] =
    "-cl-std=CL1.2 -w -cl-fp32-correctly-rounded-divide-sqrt";

static krs_status
find_devices(const krsi_cl *cl, cl_device_id *out, cl_uint *count,
             krs_error *err)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint platform_count = 0;
    *count = 0;
    cl_int code = cl->GetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count);
    if (code != CL_SUCCESS || !platform_count)
        return krs_fail(err, KRS_E_DEVICE,
                        "opencl: the ICD loader knows no driver (Debian: "
                        "pocl-opencl-icd computes on the processors)");
    if (platform_count > MAX_PLATFORMS)
        platform_count = MAX_PLATFORMS;
    for (cl_uint i = 0; i < platform_count; i++) {
        cl_uint more = 0, room = MAX_DEVICES - *count;
        if (room && cl->GetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, room,
                                     out + *count, &more) == CL_SUCCESS)
            *count += more < room ? more : room;
    }
    if (!*count)
        return krs_fail(err, KRS_E_DEVICE,
                        "opencl: %u drivers, none with a device",
                        platform_count);
    return KRS_OK;
}

uint32_t
krsi_opencl_count(krs_error *err)
{
    krsi_cl cl;
    cl_device_id devices[MAX_DEVICES];
    cl_uint count;
    if (krsi_cl_open(&cl, err) != KRS_OK ||
        find_devices(&cl, devices, &count, err) != KRS_OK)
        return 0;
    return count;
}

/* ---- facts ---- */

static uint64_t
number(const krs_backend_device *d, cl_device_info what, size_t bytes)
{
    uint64_t value = 0;
    return d->cl.GetDeviceInfo(d->id, what, bytes, &value, NULL) == CL_SUCCESS
               ? value
               : 0;
}

#define NUMBER(d, what, type) number(d, what, sizeof(type))

static void
text(const krs_backend_device *d, cl_device_info what, char out[INFO_TEXT])
{
    if (d->cl.GetDeviceInfo(d->id, what, INFO_TEXT, out, NULL) != CL_SUCCESS)
        out[0] = 0;
    out[INFO_TEXT - 1] = 0;
}

static void
platform_text(const krs_backend_device *d, char out[INFO_TEXT])
{
    cl_platform_id platform = NULL;
    out[0] = 0;
    if (d->cl.GetDeviceInfo(d->id, CL_DEVICE_PLATFORM, sizeof(platform),
                            &platform, NULL) == CL_SUCCESS)
        d->cl.GetPlatformInfo(platform, CL_PLATFORM_VERSION, INFO_TEXT, out,
                              NULL);
    out[INFO_TEXT - 1] = 0;
}

static krs_status
check_features(const krs_backend_device *d, krs_error *err)
{
    static const cl_device_fp_config needed =
        CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN;
    uint64_t config =
        NUMBER(d, CL_DEVICE_SINGLE_FP_CONFIG, cl_device_fp_config);
    char profile[INFO_TEXT];
    text(d, CL_DEVICE_PROFILE, profile);
    const char *lacks =
        !NUMBER(d, CL_DEVICE_AVAILABLE, cl_bool)            ? "is not available"
        : !NUMBER(d, CL_DEVICE_COMPILER_AVAILABLE, cl_bool) ? "has no compiler"
        : !NUMBER(d, CL_DEVICE_ENDIAN_LITTLE, cl_bool) ? "is not little-endian"
        : strcmp(profile, "FULL_PROFILE") != 0
            ? "has the embedded profile, which may lack 64-bit integers"
        : (config & needed) != needed
            ? "has no rounding to nearest, or no infinities and NaNs"
            : NULL;
    return lacks ? krs_fail(err, KRS_E_UNSUPPORTED, "opencl: %s %s",
                            d->limits.name, lacks)
                 : KRS_OK;
}

/* f32 in a vector register: what the driver says of processors; others read
 * four at a time. */
static uint32_t
lanes_of(const krs_backend_device *d)
{
    uint64_t width = NUMBER(d, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, cl_uint);
    if (!d->limits.is_processor)
        return 4;
    return width >= 16 ? 16 : width >= 8 ? 8 : width >= 4 ? 4 : 1;
}

static void
fill_limits(krs_backend_device *d)
{
    enum {
        ARGUMENT_BYTES = 8,
        OTHER_ARGUMENTS = KRSI_CLC_ARGUMENTS + 1, /* which function */
        MOST_PARAMS = 256
    };
    krs_backend_limits *l = &d->limits;
    char version[INFO_TEXT], driver[INFO_TEXT], platform[INFO_TEXT];
    uint64_t config =
        NUMBER(d, CL_DEVICE_SINGLE_FP_CONFIG, cl_device_fp_config);
    uint64_t params =
        NUMBER(d, CL_DEVICE_MAX_PARAMETER_SIZE, size_t) / ARGUMENT_BYTES;
    uint64_t bytes = NUMBER(d, CL_DEVICE_MAX_MEM_ALLOC_SIZE, cl_ulong);
    size_t group[KRS_K_AXES] = {1, 1, 1};
    d->cl.GetDeviceInfo(d->id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof group,
                        group, NULL);
    l->struct_size = sizeof *l;
    l->facts = (krs_kfacts){.struct_size = sizeof l->facts,
                            .has_fma = config & CL_FP_FMA};
    l->dtypes = (1U << KRS_Q8_0) - 1;
    l->is_processor =
        NUMBER(d, CL_DEVICE_TYPE, cl_device_type) & CL_DEVICE_TYPE_CPU;
    l->has_groups = !l->is_processor;
    l->code_is_dear = true;
    l->workers = (uint32_t)NUMBER(d, CL_DEVICE_MAX_COMPUTE_UNITS, cl_uint);
    l->vector_lanes = lanes_of(d);
    l->registers = l->vector_lanes == 16 || !l->is_processor ? 32 : 16;
    l->group_items = (uint32_t)NUMBER(d, CL_DEVICE_MAX_WORK_GROUP_SIZE, size_t);
    for (int i = 0; i < KRS_K_AXES; i++) {
        l->group[i] = (uint32_t)group[i];
        l->grid[i] = INT32_MAX;
    }
    params = params > OTHER_ARGUMENTS ? params - OTHER_ARGUMENTS : 0;
    l->max_params = params < MOST_PARAMS ? (uint32_t)params : MOST_PARAMS;
    l->max_insts = 1 << 16;
    l->memory_align = 64;
    l->offset_align = 1; /* an offset is an argument */
    l->max_alloc_bytes =
        bytes > 2 * KRSI_CLC_SLACK ? bytes - 2 * KRSI_CLC_SLACK : 0;
    l->max_bind_bytes = l->max_alloc_bytes;
    l->scratch_bytes = 1U << 28;
    l->shared_bytes = NUMBER(d, CL_DEVICE_LOCAL_MEM_SIZE, cl_ulong);
    l->memory_bytes = NUMBER(d, CL_DEVICE_GLOBAL_MEM_SIZE, cl_ulong);
    l->cache_bytes[2] = NUMBER(d, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, cl_ulong);
    d->options = config & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ? options_exact
                                                              : options_plain;
    platform_text(d, platform);
    text(d, CL_DEVICE_VERSION, version);
    text(d, CL_DRIVER_VERSION, driver);
    snprintf(l->target, sizeof l->target, "opencl; %s; %s; %s; %s; %s",
             platform, l->name, version, driver, d->options);
}

/* ---- opening ---- */

void
krsi_opencl_close(krs_backend_device *d)
{
    if (!d)
        return;
    krsi_opencl_free(d, d->block);
    krsi_opencl_free(d, d->scratch);
    krsi_opencl_forget(d);
    if (d->queue)
        d->cl.ReleaseCommandQueue(d->queue);
    if (d->context)
        d->cl.ReleaseContext(d->context);
    if (d->is_part)
        d->cl.ReleaseDevice(d->id);
    pthread_mutex_destroy(&d->lock);
    free(d->words);
    free(d->events);
    free(d);
}

/* Fewer compute units, where the device can be cut. */
static krs_status
take_part(krs_backend_device *d, uint32_t workers, krs_error *err)
{
    const cl_device_partition_property cut[] = {
        CL_DEVICE_PARTITION_BY_COUNTS, (cl_device_partition_property)workers,
        CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part;
    if (!workers || workers >= NUMBER(d, CL_DEVICE_MAX_COMPUTE_UNITS, cl_uint))
        return KRS_OK;
    cl_int code = d->cl.CreateSubDevices(d->id, cut, 1, &part, NULL);
    if (code != CL_SUCCESS)
        return krsi_cl_fail(err, code, "%s cannot be cut to %u workers",
                            d->limits.name, workers);
    d->id = part;
    d->is_part = true;
    return KRS_OK;
}

/* The device with this number, less than count. */
static cl_device_id
pick_device(const krsi_cl *cl, const cl_device_id *devices, cl_uint count,
            uint32_t index)
{
    krs_backend_kind kinds[MAX_DEVICES];
    for (cl_uint i = 0; i < count; i++) {
        cl_device_type type = 0;
        cl_bool shares = CL_FALSE;
        cl->GetDeviceInfo(devices[i], CL_DEVICE_TYPE, sizeof type, &type, NULL);
        cl->GetDeviceInfo(devices[i], CL_DEVICE_HOST_UNIFIED_MEMORY,
                          sizeof shares, &shares, NULL);
        kinds[i] = type & CL_DEVICE_TYPE_GPU
                       ? shares ? KRS_BACKEND_INTEGRATED : KRS_BACKEND_DISCRETE
                   : type & CL_DEVICE_TYPE_CPU ? KRS_BACKEND_PROCESSOR
                                               : KRS_BACKEND_OTHER;
    }
    return devices[krs_backend_pick(kinds, count, index)];
}

static krs_status
open_index(krs_backend_device *d, uint32_t index, uint32_t workers,
           krs_error *err)
{
    cl_device_id devices[MAX_DEVICES];
    cl_uint count;
    cl_int code;
    char name[INFO_TEXT];
    KRS_TRY(krsi_cl_open(&d->cl, err));
    KRS_TRY(find_devices(&d->cl, devices, &count, err));
    if (index >= count)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "opencl: no device %u; there are 0 to %u", index,
                        count - 1);
    d->id = pick_device(&d->cl, devices, count, index);
    text(d, CL_DEVICE_NAME, name);
    snprintf(d->limits.name, sizeof d->limits.name, "%.63s", name);
    KRS_TRY(check_features(d, err));
    KRS_TRY(take_part(d, workers, err));
    fill_limits(d);
    d->context = d->cl.CreateContext(NULL, 1, &d->id, NULL, NULL, &code);
    if (d->context)
        d->queue = d->cl.CreateCommandQueue(d->context, d->id,
                                            CL_QUEUE_PROFILING_ENABLE, &code);
    return d->queue
               ? KRS_OK
               : krsi_cl_fail(err, code, "%s cannot be opened", d->limits.name);
}

krs_status
krsi_opencl_open(const krs_backend_options *options, krs_backend_device **out,
                 krs_error *err)
{
    krsi_item_schedule schedule;
    *out = NULL;
    KRS_TRY(krsi_item_schedule_of("opencl", "the driver chooses", options,
                                  &schedule, err));
    if (options && options->allocator)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "opencl: memory is the driver's, not an allocator's");
    krs_backend_device *device = calloc(1, sizeof *device);
    if (!device)
        return krs_fail(err, KRS_E_MEMORY, "opencl: no memory for a device");
    pthread_mutex_init(&device->lock, NULL);
    krs_status status = open_index(device, options ? options->index : 0,
                                   options ? options->workers : 0, err);
    if (status != KRS_OK) {
        krsi_opencl_close(device);
        return status;
    }
    krsi_item_schedule_set(schedule, &device->limits);
    *out = device;
    return status;
}

static const krs_backend_limits *
limits_of(const krs_backend_device *device)
{
    return &device->limits;
}

__attribute__((visibility("default")))
krs_backend_entry_function krs_backend_entry;

const krs_backend *
krs_backend_entry(void)
{
    static const krs_backend table = {.abi = krs_backend_abi,
                                      .name = "opencl",
                                      .count = krsi_opencl_count,
                                      .open = krsi_opencl_open,
                                      .close = krsi_opencl_close,
                                      .limits = limits_of,
                                      .alloc = krsi_opencl_alloc,
                                      .free = krsi_opencl_free,
                                      .wrap = krsi_opencl_wrap,
                                      .write = krsi_opencl_write,
                                      .read = krsi_opencl_read,
                                      .build = krsi_opencl_build,
                                      .load = krsi_opencl_load,
                                      .drop = krsi_opencl_drop,
                                      .submit = krsi_opencl_submit,
                                      .wait = krsi_opencl_wait,
                                      .listing = krsi_opencl_listing};
    return &table;
}
