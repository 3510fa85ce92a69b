/* A GigE Vision camera on one network address: a real device on Aravis' fake camera, with our pictures and faults.
 *
 *   device INTERFACE SERIAL CONTROL_FD [FRAMES_FD SLOTS WIDTH HEIGHT]
 *
 * Commands, one datagram each on the Unix socket CONTROL_FD (SOCK_SEQPACKET); every one is answered:
 *   show SLOT ID [STAMP_NS]
 *                   the part sensor fired: expose picture SLOT (of the mapped file FRAMES_FD) with ID stamped in; STAMP_NS:
 *                   when (CLOCK_MONOTONIC): this program may be held up, the hardware that it stands for is not
 *   loss PERMILLE   so many GVSP packets are lost
 *   delay US        every frame leaves later by this
 *   clock NS        the device's clock jumps by this
 *   frame ID        the next frame has this id
 *   exposed US      what the chunk of each frame says of its exposure (chunks: ChunkModeActive, ExposureTime)
 *   light N         pictures are flat, at grey level N * exposure time in µs / 1000
 *   sent            answers "sent US GAP_US": median time from a frame's stamp to its last packet having left, of the last
 *                   1024; the longest time between two frames since this was asked before: how long the device stood still
 *   unplug MS       off the network, and back after MS
 * Answers otherwise: "ok", "idle" (nobody has started the acquisition), or "error …".
 *
 * The first 24 bytes of a picture: ID, the device's clock in ns and the exposure in µs, little endian int64. Pictures of the
 * file are as drawn at AS_DRAWN_US, which is where the device begins, and brighter or darker at another exposure.
 * Says "ready" on standard output; dies with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <arv.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIGGER_HZ 10000.0
#define SHOWN_LIMIT_MS 200
#define FRAMES_OFFSET 4096
#define AS_DRAWN_US 200
#define SENT 1024
#define LONGEST_MS 100 /* of the library's own sleep */

static struct {
  const char *interface, *serial;
  char genicam[64];
  const uint8_t *frames;
  int slots, width, height;
  int control[16]; /* its sockets for commands */
  guint control_count;
  int wake; /* eventfd: a picture is to be exposed */
  ArvGvFakeCamera *camera;
  atomic_int armed; /* the device's thread waits for a trigger */
  pthread_mutex_t mutex;
  pthread_cond_t shown_changed;
  int64_t slot, id, stamp_ns; /* what the next frame shows; stamp 0: now */
  uint64_t shown;   /* frames exposed so far */
  int64_t delay_us, clock_ns, frame_id, light, exposed_us;
  int64_t exposed_ns;    /* end of the exposure of the frame that is sent */
  int32_t sent_us[SENT]; /* from there to its last packet */
  uint64_t sent;
  int64_t gap_ns;
  double loss_permille;
} device = {.mutex = PTHREAD_MUTEX_INITIALIZER, .shown_changed = PTHREAD_COND_INITIALIZER, .wake = -1};

static void die(const char *what) {
  perror(what);
  exit(1);
}

static __thread int is_device;

/* The library's device thread asks this between two frames, with 0 while it waits for a trigger: it would take a whole
 * processor to poll. Ours lets it sleep until there is a packet or a picture, and no longer than a free run allows: there
 * the library asks for its longest time, 100 ms, when the next frame is due while it asks (its difference wraps). */
gint g_poll(GPollFD *fds, guint count, gint timeout_ms) {
  struct pollfd all[16];
  if (count > 15) return poll((struct pollfd *)fds, count, timeout_ms);
  for (guint i = 0; i < count; i++) all[i] = (struct pollfd){.fd = fds[i].fd, .events = (short)fds[i].events};
  all[count] = (struct pollfd){.fd = device.wake, .events = POLLIN};
  int running = 0, triggered = 0;
  is_device = 1;
  device.control_count = count;
  for (guint i = 0; i < count; i++) device.control[i] = fds[i].fd;
  if (device.camera != NULL) {
    ArvFakeCamera *fake = arv_gv_fake_camera_get_fake_camera(device.camera);
    running = fake != NULL && arv_fake_camera_get_acquisition_status(fake) != 0;
    triggered = running && arv_fake_camera_is_in_software_trigger_mode(fake);
  }
  atomic_store(&device.armed, triggered);
  struct timespec limit = {0, 100000};
  if (triggered) limit = (struct timespec){0, 100000000};
  if (timeout_ms > 0) limit = (struct timespec){timeout_ms / 1000, timeout_ms % 1000 * 1000000};
  if (running && !triggered && timeout_ms >= LONGEST_MS) limit = (struct timespec){0, 1000000};
  int ready = ppoll(all, count + 1, &limit, NULL);
  if (ready > 0 && all[count].revents != 0) {
    uint64_t drained;
    if (read(device.wake, &drained, sizeof drained) < 0 && errno != EAGAIN) die("wake");
    ready--;
  }
  for (guint i = 0; i < count; i++) fds[i].revents = (gushort)all[i].revents;
  return ready < 0 ? 0 : ready;
}

static int trigger_waits(void) {
  if (!is_device || device.camera == NULL) return 0;
  guint32 wanted = 0;
  arv_fake_camera_read_register(arv_gv_fake_camera_get_fake_camera(device.camera),
                                ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOFTWARE, &wanted);
  return wanted != 0;
}

/* Until its first frame the device's thread looks for a trigger every 0.1 s only. A camera exposes at once: while a
 * trigger waits, that time is over. */
gint64 g_get_real_time(void) {
  struct timespec utc;
  clock_gettime(CLOCK_REALTIME, &utc);
  const gint64 now_us = utc.tv_sec * 1000000LL + utc.tv_nsec / 1000;
  return trigger_waits() ? now_us + 100000 : now_us;
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t utc_ahead_ns(void) {
  struct timespec utc, ours;
  clock_gettime(CLOCK_REALTIME, &utc);
  clock_gettime(CLOCK_MONOTONIC, &ours);
  return (utc.tv_sec - ours.tv_sec) * 1000000000LL + utc.tv_nsec - ours.tv_nsec;
}

/* Twice the exposure, twice the light: what each level of a picture becomes. */
static void levels_at(guint32 exposure_us, uint8_t level[256]) {
  for (uint64_t i = 0; i < 256; i++) {
    const uint64_t lit = (i * exposure_us + AS_DRAWN_US / 2) / AS_DRAWN_US;
    level[i] = lit > 255 ? 255 : (uint8_t)lit;
  }
}

static void paint(uint8_t *to, size_t size, int width, int height, guint32 exposure_us) {
  if (device.light > 0) {
    const int64_t level = device.light * exposure_us / 1000;
    memset(to, level > 255 ? 255 : (int)level, size);
    return;
  }
  if (device.frames == NULL || device.slot < 0) {
    memset(to, 60 + (int)(device.id % 64), size);
    return;
  }
  const uint8_t *from =
      device.frames + FRAMES_OFFSET + (size_t)(device.slot % device.slots) * device.width * device.height;
  int rows = height < device.height ? height : device.height;
  int columns = width < device.width ? width : device.width;
  uint8_t level[256];
  levels_at(exposure_us, level);
  for (int y = 0; y < rows && (size_t)(y + 1) * width <= size; y++) {
    uint8_t *line = to + (size_t)y * width;
    memcpy(line, from + (size_t)y * device.width, columns);
    for (int x = 0; exposure_us != AS_DRAWN_US && x < columns; x++) line[x] = level[line[x]];
  }
}

/* Called by the device's thread when it exposes a frame. */
static void expose(ArvBuffer *buffer, void *data, guint32 exposure_us, guint32 gain, ArvPixelFormat format) {
  (void)data, (void)gain;
  uint8_t *pixels = (uint8_t *)arv_buffer_get_data(buffer, NULL);
  int x, y, width, height;
  arv_buffer_get_image_region(buffer, &x, &y, &width, &height);
  const size_t size = (size_t)width * height * ARV_PIXEL_FORMAT_BIT_PER_PIXEL(format) / 8;
  pthread_mutex_lock(&device.mutex);
  if (device.exposed_us == 0) device.exposed_us = exposure_us;
  if (device.slot < 0) device.id++;
  paint(pixels, size, width, height, exposure_us);
  /* The exposure ends when the picture is painted: painting stands for it. */
  const int64_t before_ns = device.exposed_ns;
  device.exposed_ns = device.stamp_ns > 0 ? device.stamp_ns : now_ns();
  if (before_ns > 0 && device.exposed_ns - before_ns > device.gap_ns) device.gap_ns = device.exposed_ns - before_ns;
  const int64_t clock_ns = utc_ahead_ns() + device.exposed_ns + device.clock_ns;
  arv_buffer_set_timestamp(buffer, (guint64)clock_ns);
  const int64_t stamp[] = {device.id, clock_ns, exposure_us};
  if (size >= sizeof stamp) memcpy(pixels, stamp, sizeof stamp);
  if (device.frame_id > 0) {
    arv_buffer_set_frame_id(buffer, (guint64)device.frame_id);
    device.frame_id = device.frame_id % 65535 + 1;
  }
  const int64_t delay_us = device.delay_us;
  device.shown++;
  pthread_cond_broadcast(&device.shown_changed);
  pthread_mutex_unlock(&device.mutex);
  if (delay_us > 0) usleep((useconds_t)delay_us);
}

/* Chunks, which the library's camera does not have. */
#define CHUNK_MODE 0x8000
#define CHUNK_EXPOSURE_ID 0x1001
#define REGISTER(name, address)                                                                              \
  "<IntReg Name=\"" name "\"><Address>" address "</Address><Length>4</Length><AccessMode>RW</AccessMode>"    \
  "<pPort>Device</pPort><Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></IntReg>"
static const char chunk_features[] =
    "<Boolean Name=\"ChunkModeActive\"><pValue>ChunkModeRegister</pValue></Boolean>" REGISTER(
        "ChunkModeRegister", "0x8000")
    "<Enumeration Name=\"ChunkSelector\"><EnumEntry Name=\"ExposureTime\"><Value>1</Value></EnumEntry>"
    "<pValue>ChunkSelectorRegister</pValue></Enumeration>" REGISTER("ChunkSelectorRegister", "0x8004")
    "<Boolean Name=\"ChunkEnable\"><pValue>ChunkEnableRegister</pValue></Boolean>" REGISTER(
        "ChunkEnableRegister", "0x8008")
    "<FloatReg Name=\"ChunkExposureTime\"><Address>0</Address><Length>8</Length><AccessMode>RO</AccessMode>"
    "<pPort>ChunkExposurePort</pPort><Endianess>BigEndian</Endianess></FloatReg>"
    "<Port Name=\"ChunkExposurePort\"><ChunkID>1001</ChunkID></Port>";

/* Behind the picture: its own tag (id 1, bytes), the exposure as a float64, its tag. All big endian. */
static size_t put_chunks(uint8_t *to, uint32_t picture_bytes) {
  const double us = (double)device.exposed_us;
  uint64_t bits;
  memcpy(&bits, &us, 8);
  const uint32_t words[] = {htonl(1), htonl(picture_bytes), htonl((uint32_t)(bits >> 32)), htonl((uint32_t)bits),
                            htonl(CHUNK_EXPOSURE_ID), htonl(8)};
  memcpy(to, words, sizeof words);
  return sizeof words;
}

static int is_control(int fd) {
  for (guint i = 0; i < device.control_count; i++)
    if (device.control[i] == fd) return 1;
  return 0;
}

static int with_chunks(ArvFakeCamera **fake) {
  if (!is_device || device.camera == NULL) return 0;
  *fake = arv_gv_fake_camera_get_fake_camera(device.camera);
  guint32 mode = 0;
  arv_fake_camera_read_register(*fake, CHUNK_MODE, &mode);
  return mode != 0;
}

enum { header = 8, leader = 1, trailer = 2, block = 3 }; /* of GVSP */

static void note_sent(void) {
  pthread_mutex_lock(&device.mutex);
  device.sent_us[device.sent++ % SENT] = (int32_t)((now_ns() - device.exposed_ns) / 1000);
  pthread_mutex_unlock(&device.mutex);
}

static int by_size(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static int32_t median_sent_us(int64_t *gap_us) {
  int32_t all[SENT];
  pthread_mutex_lock(&device.mutex);
  const size_t count = device.sent < SENT ? (size_t)device.sent : SENT;
  memcpy(all, device.sent_us, sizeof all);
  *gap_us = device.gap_ns / 1000;
  device.gap_ns = 0;
  pthread_mutex_unlock(&device.mutex);
  if (count == 0) return 0;
  qsort(all, count, sizeof *all, by_size);
  return all[count / 2];
}

/* The library's device sends a picture's packets with this: with chunks the leader says so, and they follow the last
 * byte of the picture, where its packet has room. */
gssize g_socket_send_to(GSocket *socket, GSocketAddress *address, const gchar *buffer, gsize size,
                        GCancellable *cancellable, GError **error) {
  static gssize (*send)(GSocket *, GSocketAddress *, const gchar *, gsize, GCancellable *, GError **);
  static size_t sent;
  if (send == NULL) send = (__typeof__(send))dlsym(RTLD_NEXT, "g_socket_send_to");
  ArvFakeCamera *fake;
  const int is_frame = is_device && !is_control(g_socket_get_fd(socket)) && size > header;
  if (is_frame && buffer[4] == trailer) {
    const gssize done = send(socket, address, buffer, size, cancellable, error);
    note_sent();
    return done;
  }
  if (!is_frame || !with_chunks(&fake)) return send(socket, address, buffer, size, cancellable, error);
  uint8_t packet[20000];
  if (size + 64 > sizeof packet) return send(socket, address, buffer, size, cancellable, error);
  memcpy(packet, buffer, size);
  if (packet[4] == leader) {
    packet[header + 2] |= 0x40;
    sent = 0;
  } else if (packet[4] == block) {
    sent += size - header;
    const size_t payload = arv_fake_camera_get_payload(fake);
    if (sent == payload) size += put_chunks(packet + size, (uint32_t)payload);
  }
  return send(socket, address, (const gchar *)packet, size, cancellable, error);
}

/* Our camera has one trigger input, wired to the part sensor; both of its sources fire it. */
static void write_genicam(void) {
  ArvFakeCamera *model = arv_fake_camera_new(device.serial);
  size_t size = 0;
  const char *xml = arv_fake_camera_get_genicam_xml(model, &size);
  char *end = g_strrstr_len(xml, (gssize)size, "</RegisterDescription>");
  if (end == NULL) {
    fprintf(stderr, "this Aravis has another fake camera: no RegisterDescription in its GenICam file\n");
    exit(1);
  }
  char *copy = g_strdup_printf("%.*s%s%s", (int)(end - xml), xml, chunk_features, "</RegisterDescription>\n");
  char *line = strstr(copy, "<EnumEntry Name=\"Line0\"");
  char *value = line == NULL ? NULL : strstr(line, "<Value>0</Value>");
  if (value == NULL) {
    fprintf(stderr, "this Aravis has another fake camera: no trigger source Line0 with value 0; expected 0.8\n");
    exit(1);
  }
  value[7] = '1';
  int fd = memfd_create("genicam", 0);
  if (fd < 0 || write(fd, copy, strlen(copy)) != (ssize_t)strlen(copy)) die("genicam");
  snprintf(device.genicam, sizeof device.genicam, "/proc/self/fd/%d", fd);
  g_free(copy);
  g_object_unref(model);
}

static int plug_in(void) {
  ArvGvFakeCamera *camera = arv_gv_fake_camera_new_full(device.interface, device.serial, device.genicam);
  if (camera == NULL || !arv_gv_fake_camera_is_running(camera)) return 0;
  ArvFakeCamera *fake = arv_gv_fake_camera_get_fake_camera(camera);
  arv_fake_camera_set_fill_pattern(fake, expose, NULL);
  arv_fake_camera_set_trigger_frequency(fake, TRIGGER_HZ);
  arv_fake_camera_write_register(fake, ARV_FAKE_CAMERA_REGISTER_EXPOSURE_TIME_US, AS_DRAWN_US);
  g_object_set(camera, "gvsp-lost-ratio", device.loss_permille / 1000, NULL);
  device.camera = camera;
  return 1;
}

static void unplug(void) {
  ArvGvFakeCamera *camera = device.camera;
  device.camera = NULL;
  atomic_store(&device.armed, 0);
  g_object_unref(camera);
}

static const char *show(int64_t slot, int64_t id, int64_t stamp_ns) {
  ArvFakeCamera *fake = arv_gv_fake_camera_get_fake_camera(device.camera);
  /* Not armed yet: the trigger is lost, as on a real input. Kept, a late frame would answer it just as the next part
   * passes. */
  if (arv_fake_camera_get_acquisition_status(fake) == 0 || !atomic_load(&device.armed)) return "idle";
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_nsec += SHOWN_LIMIT_MS * 1000000L;
  limit.tv_sec += limit.tv_nsec / 1000000000L;
  limit.tv_nsec %= 1000000000L;
  const uint64_t one = 1;
  int failed = 0;
  pthread_mutex_lock(&device.mutex);
  device.slot = slot;
  device.id = id;
  device.stamp_ns = stamp_ns;
  const uint64_t before = device.shown;
  arv_fake_camera_write_register(fake, ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOFTWARE, 1);
  if (write(device.wake, &one, sizeof one) < 0) die("wake");
  while (device.shown == before && failed == 0)
    failed = pthread_cond_timedwait(&device.shown_changed, &device.mutex, &limit);
  if (failed) arv_fake_camera_write_register(fake, ARV_FAKE_CAMERA_REGISTER_TRIGGER_SOFTWARE, 0);
  pthread_mutex_unlock(&device.mutex);
  return failed ? "idle" : "ok";
}

static const char *obey(const char *command) {
  static char sent[64];
  if (strcmp(command, "sent") == 0) {
    int64_t gap_us = 0;
    const int32_t median_us = median_sent_us(&gap_us);
    snprintf(sent, sizeof sent, "sent %" PRId32 " %" PRId64, median_us, gap_us);
    return sent;
  }
  int64_t a = 0, b = 0, c = 0;
  double permille = 0;
  if (sscanf(command, "show %" SCNd64 " %" SCNd64 " %" SCNd64, &a, &b, &c) >= 2) return show(a, b, c);
  if (sscanf(command, "loss %lf", &permille) == 1) {
    device.loss_permille = permille;
    g_object_set(device.camera, "gvsp-lost-ratio", permille / 1000, NULL);
    return "ok";
  }
  if (sscanf(command, "unplug %" SCNd64, &a) == 1) {
    unplug();
    usleep((useconds_t)(a * 1000));
    return plug_in() ? "ok" : "error the address is taken";
  }
  pthread_mutex_lock(&device.mutex);
  const char *answer = "ok";
  if (sscanf(command, "delay %" SCNd64, &a) == 1)
    device.delay_us = a;
  else if (sscanf(command, "clock %" SCNd64, &a) == 1)
    device.clock_ns += a;
  else if (sscanf(command, "frame %" SCNd64, &a) == 1 && a > 0 && a < 65536)
    device.frame_id = a;
  else if (sscanf(command, "exposed %" SCNd64, &a) == 1 && a > 0)
    device.exposed_us = a;
  else if (sscanf(command, "light %" SCNd64, &a) == 1 && a > 0)
    device.light = a;
  else
    answer = "error unknown command; see the head of device.c";
  pthread_mutex_unlock(&device.mutex);
  return answer;
}

int main(int argc, char **argv) {
  if (argc != 4 && argc != 8) {
    fprintf(stderr, "usage: device INTERFACE SERIAL CONTROL_FD [FRAMES_FD SLOTS WIDTH HEIGHT]\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  signal(SIGINT, SIG_IGN);
  device.interface = argv[1];
  device.serial = argv[2];
  device.slot = -1;
  const int control = atoi(argv[3]);
  device.wake = eventfd(0, EFD_NONBLOCK);
  if (argc == 8) {
    device.slots = atoi(argv[5]);
    device.width = atoi(argv[6]);
    device.height = atoi(argv[7]);
    const size_t size = FRAMES_OFFSET + (size_t)device.slots * device.width * device.height;
    void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, atoi(argv[4]), 0);
    if (mapped == MAP_FAILED) die("frames");
    device.frames = mapped;
  }
  write_genicam();
  /* Hardware keeps time; threads made from here on inherit this where it is permitted. */
  sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 55});
  if (!plug_in()) {
    fprintf(stderr, "a GigE Vision device on %s cannot be made: is port 3956 taken, or the name unknown?\n",
            device.interface);
    return 1;
  }
  printf("ready\n");
  fflush(stdout);
  char command[128];
  for (ssize_t got; (got = recv(control, command, sizeof command - 1, 0)) > 0;) {
    command[got] = 0;
    const char *answer = obey(command);
    if (send(control, answer, strlen(answer), MSG_NOSIGNAL) < 0) break;
    if (device.camera == NULL) return 1;
  }
  unplug();
  return 0;
}
