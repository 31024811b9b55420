import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Confluent's parallel-consumer: as many threads as told, those of a key one after the other. */
public class ParallelConsumerProgram {
    public static void main(String[] told) throws Exception {
        String bootstrap = told[0];
        String topic = told[1];
        String group = told[2];
        int tasks = Integer.parseInt(told[3]);
        int concurrency = Integer.parseInt(told[4]);

        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
        ParallelStreamProcessor<String, String> processor = ParallelStreamProcessor.createEosStreamProcessor(
                ParallelConsumerOptions.<String, String>builder()
                        .ordering(ProcessingOrder.KEY)
                        .maxConcurrency(concurrency)
                        .consumer(consumer)
                        .build());
        processor.subscribe(List.of(topic));

        AtomicLong begin = new AtomicLong();
        AtomicInteger left = new AtomicInteger(tasks);
        CountDownLatch done = new CountDownLatch(1);
        processor.poll(context -> {
            begin.compareAndSet(0, System.nanoTime());
            sleep(duration(context.getSingleConsumerRecord().value()));
            if (left.decrementAndGet() == 0) {
                System.out.printf("{\"seconds\": %.6f}%n", (System.nanoTime() - begin.get()) / 1e9);
                done.countDown();
            }
        });
        done.await();
        processor.close();
    }

    /** What the task says, in milliseconds: the number after "payload" in its JSON. */
    private static double duration(String value) {
        int start = value.indexOf(':', value.indexOf("\"payload\"")) + 1;
        int end = start;
        while (end < value.length() && ",}".indexOf(value.charAt(end)) < 0) {
            end++;
        }
        return Double.parseDouble(value.substring(start, end).trim());
    }

    private static void sleep(double milliseconds) {
        try {
            long nanoseconds = (long) (milliseconds * 1e6);
            Thread.sleep(nanoseconds / 1_000_000, (int) (nanoseconds % 1_000_000));
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }
}
