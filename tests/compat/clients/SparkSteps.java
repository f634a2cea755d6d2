import java.util.HashMap;
import java.util.Map;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.DataStreamWriter;
import org.apache.spark.sql.streaming.Trigger;

/**
 * One step of Spark with Kafka: {@code SparkSteps broker step setting=value...}.
 *
 * <ul>
 *   <li>"write": a batch of the numbers below "count" into "out", with keys and headers, from four tasks;
 *   <li>"read": a batch read of "in", with further settings of the source; says how many records there are;
 *   <li>"copy": a streaming query from "in" to "out", with its checkpoint in "checkpoint", every "trigger" ms, or
 *       once over all that is there without one, with further settings of the source.
 * </ul>
 */
public final class SparkSteps {
    public static void main(String[] args) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (int index = 2; index < args.length; index++) {
            String[] pair = args[index].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        SparkSession spark = SparkSession.builder()
            .master("local[2]")
            .appName("steps")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "2")
            .getOrCreate();
        spark.sparkContext().setLogLevel("WARN");
        System.out.println("ready");
        switch (args[1]) {
            case "write" -> write(spark, args[0], settings);
            case "read" -> read(spark, args[0], settings);
            default -> copy(spark, args[0], settings);
        }
        spark.stop();
        System.out.println("done");
    }

    private static void write(SparkSession spark, String broker, Map<String, String> settings) {
        spark.range(0, Long.parseLong(settings.get("count")), 1, 4)
            .selectExpr(
                "cast(id % 100 as string) as key",
                "cast(id as string) as value",
                "array(struct('number' as key, cast(cast(id as string) as binary) as value)) as headers")
            .write()
            .format("kafka")
            .option("kafka.bootstrap.servers", broker)
            .option("topic", settings.get("out"))
            .option("includeHeaders", "true")
            .save();
    }

    private static void read(SparkSession spark, String broker, Map<String, String> settings) {
        String in = settings.remove("in");
        Dataset<Row> rows = spark.read()
            .format("kafka")
            .option("kafka.bootstrap.servers", broker)
            .option("subscribePattern", in)
            .option("includeHeaders", "true")
            .options(settings)
            .load();
        long right = rows.where("headers[0].key = 'number' and headers[0].value = value").count();
        System.out.println("records " + rows.count());
        System.out.println("different " + rows.select("value").distinct().count());
        System.out.println("with headers " + right);
    }

    private static void copy(SparkSession spark, String broker, Map<String, String> settings) throws Exception {
        String out = settings.remove("out");
        String checkpoint = settings.remove("checkpoint");
        String trigger = settings.remove("trigger");
        String in = settings.remove("in");
        DataStreamWriter<Row> query = spark.readStream()
            .format("kafka")
            .option("kafka.bootstrap.servers", broker)
            .option("subscribe", in)
            .option("startingOffsets", "earliest")
            .options(settings)
            .load()
            .select("key", "value")
            .writeStream()
            .format("kafka")
            .option("kafka.bootstrap.servers", broker)
            .option("topic", out)
            .option("checkpointLocation", checkpoint)
            .trigger(trigger == null ? Trigger.AvailableNow() : Trigger.ProcessingTime(Long.parseLong(trigger)));
        query.start().awaitTermination();
    }
}
