import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/**
 * Watches of ZooKeeper's own client over connections that break: {@code WatchReports proxy server}.
 *
 * <p>Says what each watch is told, a section at a time and sorted in it. A line "do ..." asks whoever runs it to
 * do something to the connection, or the server, and to answer with a line.
 */
public final class WatchReports {
    private static final BufferedReader IN =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private static final List<String> TOLD = new ArrayList<>();
    private static final LinkedBlockingQueue<KeeperState> STATES = new LinkedBlockingQueue<>();
    private static ZooKeeper zk;

    public static void main(String[] args) throws Exception {
        zk = new ZooKeeper(args[0], 10_000, event -> STATES.add(event.getState()));
        await(KeeperState.SyncConnected);
        ZooKeeper other = new ZooKeeper(args[1], 10_000, event -> {});
        other.create("/a", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.create("/a/b", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create("/mine", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        long session = zk.getSessionId();
        watch();
        zk.addWatch("/a", noting("persistent"), AddWatchMode.PERSISTENT);
        zk.addWatch("/a", noting("recursive"), AddWatchMode.PERSISTENT_RECURSIVE);
        ask("cut");
        await(KeeperState.Disconnected);
        awaitWatches();
        change(other);
        section("after a cut");
        watch();
        ask("refuse");
        await(KeeperState.Disconnected);
        change(other);
        ask("admit");
        awaitWatches();
        section("changed while away");
        say("the same session: " + (zk.getSessionId() == session));
        say("its node is there: " + (other.exists("/mine", false) != null));

        Watcher data = noting("data");
        Watcher lasting = noting("lasting");
        zk.getData("/a", data, null);
        zk.addWatch("/a", lasting, AddWatchMode.PERSISTENT);
        remove("/a", data, WatcherType.Children);
        remove("/a", lasting, WatcherType.PersistentRecursive);
        remove("/a", lasting, WatcherType.Persistent);
        remove("/a", data, WatcherType.Data);
        remove("/a", data, WatcherType.Data);
        remove("/a", null, WatcherType.Any);
        remove("/a", null, WatcherType.Any);
        section("removed");
        change(other);
        section("after that");
        if (args.length > 2) {
            watch();
            ask(args[2]);
            await(KeeperState.Expired);
            section("told of the end");
        }
        other.close();
        zk.close();
        say("closed: " + STATES.poll(20, TimeUnit.SECONDS));
    }

    /** One-time watches: data and children of one node, and of a node that is missing. */
    private static void watch() throws Exception {
        zk.getData("/a", noting("data"), null);
        zk.getChildren("/a", noting("children"));
        zk.exists("/new", noting("missing"));
    }

    private static void change(ZooKeeper other) throws Exception {
        other.setData("/a/b", new byte[0], -1);
        other.setData("/a", new byte[0], -1);
        other.setData("/a", new byte[1], -1);
        other.create("/a/c", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        other.delete("/a/c", -1);
        other.create("/new", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    private static void remove(String path, Watcher watcher, WatcherType type) throws Exception {
        String what = "remove " + type + ": ";
        try {
            if (watcher == null) {
                zk.removeAllWatches(path, type, false);
            } else {
                zk.removeWatches(path, watcher, type, false);
            }
            note(what + "done");
        } catch (KeeperException error) {
            note(what + error.code());
        }
    }

    private static Watcher noting(String name) {
        return (WatchedEvent event) -> {
            if (event.getPath() != null || event.getState() == KeeperState.Expired) {
                note(name + " " + event.getType() + " " + event.getPath());
            }
        };
    }

    private static void note(String line) {
        synchronized (TOLD) {
            TOLD.add(line);
        }
    }

    /** Returns when all events of what was done before have been noted. */
    private static void settle() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        zk.sync("/", (code, path, context) -> done.countDown(), null);
        done.await(30, TimeUnit.SECONDS);
    }

    private static void section(String name) throws Exception {
        settle();
        say("== " + name);
        synchronized (TOLD) {
            TOLD.stream().sorted().forEach(WatchReports::say);
            TOLD.clear();
        }
        // Each section begins without the node.
        if (zk.getState().isConnected() && zk.exists("/new", false) != null) {
            zk.delete("/new", -1);
            settle();
            synchronized (TOLD) {
                TOLD.clear();
            }
        }
    }

    private static void await(KeeperState wanted) throws Exception {
        KeeperState state;
        do {
            state = STATES.poll(60, TimeUnit.SECONDS);
            if (state == null) {
                throw new IllegalStateException("never " + wanted);
            }
        } while (state != wanted);
    }

    /** It is connected again, and the server has its watches: they are sent after the first packet. */
    private static void awaitWatches() throws Exception {
        await(KeeperState.SyncConnected);
        settle();
    }

    private static void ask(String what) throws Exception {
        say("do " + what);
        if (IN.readLine() == null) {
            throw new IllegalStateException("nobody answers");
        }
    }

    private static void say(String line) {
        System.out.println(line);
    }
}
