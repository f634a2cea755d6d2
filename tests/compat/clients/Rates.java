import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.common.metrics.MetricConfig;
import org.apache.kafka.common.metrics.Quota;
import org.apache.kafka.common.metrics.stats.Rate;
import org.apache.kafka.common.metrics.stats.TokenBucket;

/**
 * Takes steps on stdin and prints what Kafka's own meters say.
 *
 * <pre>
 * begin SAMPLES WINDOW_MS LIMIT   record AMOUNT NOW_MS   measure NOW_MS: rate, its period, tokens
 * </pre>
 */
public final class Rates {
    public static void main(String[] args) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        Rate rate = new Rate();
        TokenBucket bucket = new TokenBucket();
        MetricConfig config = new MetricConfig();
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("begin")) {
                rate = new Rate();
                bucket = new TokenBucket();
                config = new MetricConfig().samples(Integer.parseInt(words[1]))
                    .timeWindow(Long.parseLong(words[2]), TimeUnit.MILLISECONDS)
                    .quota(Quota.upperBound(Double.parseDouble(words[3])));
            } else if (words[0].equals("record")) {
                rate.record(config, Double.parseDouble(words[1]), Long.parseLong(words[2]));
                bucket.record(config, Double.parseDouble(words[1]), Long.parseLong(words[2]));
            } else {
                long now = Long.parseLong(words[1]);
                double value = rate.measure(config, now);
                out.append(value).append(' ').append(rate.windowSize(config, now)).append(' ')
                    .append(bucket.measure(config, now)).append('\n');
            }
        }
        System.out.print(out);
    }
}
